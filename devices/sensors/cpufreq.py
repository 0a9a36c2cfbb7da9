"""Clocks: what the system asks for, and the most it may.

On a Pi that throttles, `scaling_cur_freq` is what was asked for, not what runs: the firmware's own
figure is `measured_hz` of sensors/raspberry_pi.py.
"""

from __future__ import annotations

from ..attribute import Attribute
from ..device import Device
from ..reading import Absent, Readings
from ..root import Root

FOLDER = "sys/devices/system/cpu/cpufreq"


class Clock:
    """The fastest cluster's clock, by its first core."""

    source, scope = "cpufreq", None

    def __init__(self, root: Root, policy: str):
        self.name = f"clock {policy.rsplit('/', 1)[1]}"
        self._current = Attribute(root, f"{policy}/scaling_cur_freq")
        self._cap = Attribute(root, f"{policy}/scaling_max_freq")
        self._max_khz = root.number_or_none(f"{policy}/cpuinfo_max_freq")

    def read(self, now: float) -> Readings:
        values = {"requested_hz": self._current.number() * 1000}
        try:
            values["max_hz"] = self._cap.number() * 1000
        except Absent:  # some phones keep it to themselves
            if self._max_khz:
                values["max_hz"] = self._max_khz * 1000
        return values


def find(root: Root, device: Device) -> list[Clock]:
    policies = [policy for cluster in device.clusters for policy in cluster.policies]
    if not policies:
        raise Absent(f"no policies in /{FOLDER}")
    return [Clock(root, policies[0])]
