"""One thin reader a source; `probe` tries them all.

A finder is a function of (root, device) that gives its sensors, or raises Absent with the reason why
there are none.  To add a source: write one, enter it in FINDERS; where two sensors give the same
field, the one that comes first is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ..device import Device
from ..reading import Absent, Readings
from ..root import Root
from . import android, battery, cpufreq, estimate, fan, ina, rapl, raspberry_pi, thermal


class Sensor(Protocol):
    """`source` is what figures are attributed to; `scope` what watts are of, None if it has none."""

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def scope(self) -> str | None: ...

    def read(self, now: float) -> Readings:
        """Fields of Sample at a time of the monotonic clock.  Raises Absent."""
        ...


@dataclass(frozen=True)
class Missing:
    """A source that this device does not have, or does not show to us."""

    name: str
    reason: str


Finder = Callable[[Root, Device], Iterable[Sensor]]
FINDERS: dict[str, Finder] = {
    "firmware (Raspberry Pi)": raspberry_pi.firmware,
    "temperature": thermal.zones,
    "temperature (hwmon)": thermal.chips,
    "temperature (firmware)": raspberry_pi.temperature,
    "clock": cpufreq.find,
    "under-voltage": raspberry_pi.under_voltage,
    "fan": fan.find,
    "power (INA)": ina.find,
    "power (PMIC)": raspberry_pi.pmic,
    "power (RAPL)": rapl.find,
    "battery": battery.find,
    "thermal status (Android)": android.thermal_status,
    "battery (Termux)": android.termux_battery,
    "power (estimate)": estimate.find,
}


def probe(root: Root, device: Device) -> tuple[list[Sensor], list[Missing]]:
    """What this device has, in the order of belief, and what it lacks."""
    found: list[Sensor] = []
    missing: list[Missing] = []
    for name, find in FINDERS.items():
        try:
            found += find(root, device)
        except Absent as absent:
            missing.append(Missing(name, str(absent)))
    return found, missing
