"""Where the hwmon devices of a name are: numbers change from one boot to the next, names do not."""

from __future__ import annotations

from ..reading import Absent
from ..root import Root

FOLDER = "sys/class/hwmon"


def named(root: Root, *names: str) -> list[tuple[str, str]]:
    """(folder, name) of every device of these names, in their order.  Raises Absent for none."""
    found = [(folder, root.text_or(f"{folder}/name")) for folder in _folders(root)]
    wanted = sorted((x for x in found if x[1] in names), key=lambda x: names.index(x[1]))
    if not wanted:
        raise Absent(f"no {', '.join(names)} in /{FOLDER}")
    return wanted


def having(root: Root, attribute: str) -> list[tuple[str, str]]:
    """(folder, name) of every device with such a file.  Raises Absent for none."""
    found = [
        (folder, root.text_or(f"{folder}/name"))
        for folder in _folders(root)
        if root.text_or(f"{folder}/{attribute}")
    ]
    if not found:
        raise Absent(f"no {attribute} in /{FOLDER}")
    return found


def _folders(root: Root) -> list[str]:
    return [f"{FOLDER}/{name}" for name in root.names(FOLDER) if name.startswith("hwmon")]
