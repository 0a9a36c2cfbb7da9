"""The fan's revolutions a minute."""

from __future__ import annotations

from ..attribute import Attribute
from ..device import Device
from ..reading import Readings
from ..root import Root
from . import hwmon

PREFERRED = "pwmfan", "cooling_fan"  # the Pi 5's; other machines may have several


class Fan:
    source, scope = "hwmon", None

    def __init__(self, root: Root, folder: str, name: str):
        self.name = f"fan {name}"
        self._speed = Attribute(root, f"{folder}/fan1_input", name)

    def read(self, now: float) -> Readings:
        return {"fan_rpm": self._speed.number()}


def find(root: Root, device: Device) -> list[Fan]:
    found = hwmon.having(root, "fan1_input")
    found.sort(key=lambda x: x[1] not in PREFERRED)
    return [Fan(root, *found[0])]
