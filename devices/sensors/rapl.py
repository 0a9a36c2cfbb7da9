"""The processor's own energy counters (Intel's RAPL; AMD uses the same files).

Only top-level packages are summed: core and uncore are parts of them, psys contains them, and
intel-rapl-mmio counts them once more.
"""

from __future__ import annotations

import re

from ..attribute import Attribute
from ..device import Device
from ..reading import Absent, Readings
from ..root import Root

FOLDER = "sys/class/powercap"
ZONE = re.compile(r"intel-rapl:\d+$")


class Package:
    """A counter of microjoules that starts again at zero above `range_uj`."""

    def __init__(self, root: Root, folder: str):
        self._counter = Attribute(root, f"{folder}/energy_uj")
        self._range_uj = root.number_or_none(f"{folder}/max_energy_range_uj")
        self._last: float | None = None
        self.path = self._counter.path

    def read(self) -> float:
        return self._counter.number()

    def advance(self, now_uj: float) -> float:
        """Microjoules since the last call.  Raises Absent where a wrap cannot be bridged."""
        last, self._last = self._last, now_uj
        if last is None:
            return 0.0
        if now_uj >= last:
            return now_uj - last
        if not self._range_uj:
            raise Absent(f"/{self.path}: started again, and its range is unknown")
        return now_uj + self._range_uj - last


class Rapl:
    """Joules of all packages since the first reading."""

    source, scope = "rapl", "package"

    def __init__(self, packages: list[Package]):
        self.name = "power RAPL" + (f" ({len(packages)} packages)" if packages[1:] else "")
        self._packages = packages
        self._joules = 0.0

    def read(self, now: float) -> Readings:
        counters = [package.read() for package in self._packages]  # all of them, or none
        steps = zip(self._packages, counters, strict=True)
        self._joules += sum(package.advance(counter) for package, counter in steps) / 1e6
        return {"energy_j": self._joules}


def find(root: Root, device: Device) -> list[Rapl]:
    folders = [f"{FOLDER}/{name}" for name in root.names(FOLDER) if ZONE.match(name)]
    folders = [f for f in folders if root.text_or(f"{f}/name").startswith("package")]
    if not folders:
        raise Absent(f"no package of intel-rapl in /{FOLDER}")
    packages = [Package(root, folder) for folder in folders]
    for package in packages:
        try:
            package.read()
        except Absent as absent:
            raise Absent(
                f"{absent} (root only since Linux 5.10; as root: chmod a+r /{package.path})"
            ) from None
    return [Rapl(packages)]
