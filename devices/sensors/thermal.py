"""Temperatures of the processor: thermal zones by type, hwmon by name."""

from __future__ import annotations

import re

from ..attribute import Attribute
from ..device import Device
from ..reading import Absent, Readings
from ..root import Root
from . import hwmon

FOLDER = "sys/class/thermal"
# Types of thermal zones, the best first; those that match none are of other parts of the machine.
RANKS = [
    re.compile(pattern)
    for pattern in (
        r"cpu[-_]thermal$",
        r"x86_pkg_temp$",
        r"soc",
        r"cpu",
        r"tj[-_]thermal$",  # Jetson: the hottest of all
        r"acpitz$",
    )
]
CHIPS = "coretemp", "k10temp", "zenpower", "cpu_thermal", "scmi_sensors"
PLAUSIBLE_C = (-50.0, 150.0)  # a broken or sleeping sensor says 0xff.. or -273


class Temperature:
    """The hottest of some equally good sensors, in degrees Celsius.

    `passive_c`, `critical_c`: the lowest trip points where the system slows down, and shuts down.
    """

    scope = None

    def __init__(self, source: str, kind: str, files: list[Attribute]):
        self.source = source
        self.kind = kind
        self.name = f"temperature {kind}" + (f" (hottest of {len(files)})" if files[1:] else "")
        self.passive_c: float | None = None
        self.critical_c: float | None = None
        self._files = files

    def read(self, now: float) -> Readings:
        hottest, why = None, ""
        for file in self._files:
            try:
                celsius = _plausible(file.number() / 1000, file.path)
            except Absent as absent:  # some zones sleep, some are denied
                why = str(absent)
                continue
            hottest = celsius if hottest is None else max(hottest, celsius)
        if hottest is None:
            raise Absent(why)
        return {"temperature_c": hottest, "temperature_sensor": self.kind}


def _plausible(celsius: float, path: str) -> float:
    low, high = PLAUSIBLE_C
    if not low < celsius < high:
        raise Absent(f"/{path}: {celsius:g} degrees cannot be")
    return celsius


def zones(root: Root, device: Device) -> list[Temperature]:
    """A sensor for each rank that has zones, the best rank first."""
    by_rank: dict[int, list[tuple[str, str]]] = {}
    names = [name for name in root.names(FOLDER) if name.startswith("thermal_zone")]
    for name in names:
        kind = root.text_or(f"{FOLDER}/{name}/type", name)
        rank = next((i for i, p in enumerate(RANKS) if p.match(kind.lower())), None)
        if rank is not None:
            by_rank.setdefault(rank, []).append((f"{FOLDER}/{name}", kind))
    if not by_rank:
        some = f"none of the {len(names)} zones is the processor's" if names else "no thermal zones"
        raise Absent(f"{some} in /{FOLDER}")
    return [_sensor(root, by_rank[rank]) for rank in sorted(by_rank)]


def _sensor(root: Root, found: list[tuple[str, str]]) -> Temperature:
    files = [Attribute(root, f"{folder}/temp") for folder, _ in found]
    sensor = Temperature("thermal zone", found[0][1], files)
    for folder, _ in found:
        sensor.passive_c = _lowest(sensor.passive_c, _trip(root, folder, "passive"))
        sensor.critical_c = _lowest(sensor.critical_c, _trip(root, folder, "critical"))
    return sensor


def _trip(root: Root, folder: str, kind: str) -> float | None:
    """The lowest trip point of a kind, in degrees; zeros are trips that nobody has set."""
    lowest = None
    for path in root.folders(folder, "trip_point_"):
        if path.endswith("_type") and root.text_or(path) == kind:
            millidegrees = root.number_or_none(path.removesuffix("_type") + "_temp")
            if millidegrees and millidegrees > 0:
                lowest = _lowest(lowest, millidegrees / 1000)
    return lowest


def _lowest(a: float | None, b: float | None) -> float | None:
    return min((x for x in (a, b) if x is not None), default=None)


def chips(root: Root, device: Device) -> list[Temperature]:
    """temp1 of the processor's hwmon device: the package of coretemp, Tctl of k10temp."""
    return [
        Temperature(f"hwmon {name}", name, [Attribute(root, f"{folder}/temp1_input", name)])
        for folder, name in hwmon.named(root, *CHIPS)
    ]
