"""Thread knees that were found, by model and device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .notebook import Notebook
from .setting import knee


@dataclass(frozen=True)
class Knee:
    """Speeds in tokens a second by threads of a model on a device."""

    model: str
    device: str
    speeds: dict[int, float]

    @property
    def threads(self) -> int:
        return knee(self.speeds)

    @property
    def most(self) -> int:
        return max(self.speeds)


class Knees:
    """Kept by the checksum of what a model was made from, or its name; by device; by threads in all."""

    def __init__(self, path: Path):
        self._notebook = Notebook(path)

    def recall(self, key: str, device: str, most: int) -> dict[int, float] | None:
        """Speeds by threads for a team of `most`."""
        found = _parsed(self._notebook.read().get(f"{key} {device} {most}"))
        return found.speeds if found is not None and found.most == most else None

    def remember(self, key: str, found: Knee) -> None:
        document = {"model": found.model, "device": found.device, "speeds": found.speeds}
        self._notebook.write(f"{key} {found.device} {found.most}", document)

    def of(self, device: str) -> list[Knee]:
        """All of a device."""
        known = (_parsed(document) for document in self._notebook.read().values())
        return [found for found in known if found is not None and found.device == device]


def _parsed(document: Any) -> Knee | None:
    """None for what is no knee."""
    try:
        speeds = {int(n): float(speed) for n, speed in document["speeds"].items()}
        found = Knee(str(document["model"]), str(document["device"]), speeds)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    whole = speeds and set(speeds) == set(range(1, found.most + 1))
    return found if whole and all(speed > 0 for speed in speeds.values()) else None
