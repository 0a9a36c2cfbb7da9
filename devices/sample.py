"""All sensors at one moment, and the set of sensors that is asked for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .device import Device, detect
from .reading import Absent, Value
from .root import Root
from .sensors import Missing, Sensor, probe

LONGEST_PATIENCE_S = 8.0  # before a sensor that has gone is asked again
PROBE_PERIOD_S = 60.0  # looking for it in another place costs milliseconds


@dataclass(frozen=True)
class Power:
    """Watts now, or joules since a counter was first read; one of the two."""

    source: str
    scope: str
    watts: float | None = None
    joules: float | None = None


@dataclass(frozen=True)
class Sample:
    """`t` is of the monotonic clock, `unix` of the wall's.  A field that is not in `values` is absent.

    Fields: temperature_c, temperature_sensor, measured_hz, requested_hz, max_hz, throttle_bits,
    throttle_reason, under_voltage, supply_v, fan_rpm, battery_percent, battery_c, battery_v, battery_a,
    battery_status, thermal_status, headroom.
    """

    t: float
    unix: float
    values: Mapping[str, Value] = field(default_factory=dict)
    power: tuple[Power, ...] = ()  # in the order of belief
    absent: Mapping[str, str] = field(default_factory=dict)  # sensor -> reason

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        return value if isinstance(value, float) else None

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None


@dataclass
class _Trouble:
    """A sensor that failed: asked again after 1, 2, 4, 8, 8 ... s."""

    reason: str
    again: float
    patience: float


class Sensors:
    """The sensors of a device.  Sampling never raises; what fails is absent with its reason."""

    def __init__(
        self,
        found: Sequence[Sensor],
        missing: Sequence[Missing] = (),
        unix: Callable[[], float] = time.time,
        again: Callable[[], tuple[list[Sensor], list[Missing]]] | None = None,
    ):
        """`again` finds them anew, when some are gone for good."""
        self.found, self.missing = list(found), list(missing)
        self._unix, self._again = unix, again
        self._trouble: dict[str, _Trouble] = {}
        self._probed = 0.0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, device: Device | None = None, root: Root | None = None) -> Sensors:
        root = root or Root()
        device = device or detect(root)
        found, missing = probe(root, device)
        if device.profile.key == "android":  # probing starts a process there
            return cls(found, missing)
        return cls(found, missing, again=lambda: probe(root, device))

    def without(self, source: str) -> Sensors:
        """The same without a source: one that disturbs what is timed."""
        found = [sensor for sensor in self.found if sensor.source != source]
        return Sensors(found, self.missing, self._unix, self._again)

    def sample(self, now: float) -> Sample:
        """From any thread."""
        with self._lock:
            return self._sample(now)

    def _sample(self, now: float) -> Sample:
        values: dict[str, Value] = {}
        power: list[Power] = []
        for sensor in tuple(self.found):
            trouble = self._trouble.get(sensor.name)
            if trouble is not None and now < trouble.again:
                continue
            try:
                readings = sensor.read(now)
            except Absent as absent:
                self._fail(sensor.name, str(absent), now)
                continue
            self._trouble.pop(sensor.name, None)
            for name, value in readings.items():
                if name not in ("power_w", "energy_j"):
                    values.setdefault(name, value)
            power += _power(sensor, readings)
        reasons = {name: trouble.reason for name, trouble in self._trouble.items()}
        return Sample(now, self._unix(), values, tuple(power), reasons)

    def _fail(self, name: str, reason: str, now: float) -> None:
        before = self._trouble.get(name)
        patience = min(LONGEST_PATIENCE_S, 2 * before.patience) if before else 0.0
        self._trouble[name] = _Trouble(reason, now + patience, max(0.5, patience))
        if patience == LONGEST_PATIENCE_S and now - self._probed >= PROBE_PERIOD_S:
            self._probed = now
            self._replace_lost()

    def _replace_lost(self) -> None:
        """Look for lost sensors in other places; the others keep their counters."""
        anew = {sensor.name: sensor for sensor in self._again()[0]} if self._again else {}
        self.found = [anew.get(s.name, s) if s.name in self._trouble else s for s in self.found]


def _power(sensor: Sensor, readings: Mapping[str, Value]) -> list[Power]:
    if sensor.scope is None:
        return []
    watts, joules = readings.get("power_w"), readings.get("energy_j")
    if isinstance(watts, float):
        return [Power(sensor.source, sensor.scope, watts=watts)]
    if isinstance(joules, float):
        return [Power(sensor.source, sensor.scope, joules=joules)]
    return []
