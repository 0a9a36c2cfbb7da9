"""A stretch of time under observation, and the report on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .energy import LONGEST_GAP_S, NOTHING, Account, Energy
from .sample import Sample

# As sensors are ordered, also for one that was away at the beginning; the estimate comes last.
BELIEF = "ina", "pmic", "rapl", "battery", "termux"
NO_THROTTLING_SIGN = "nothing on this device tells whether it throttles"


@dataclass(frozen=True)
class Report:
    """What was seen.  None where nothing said so.

    throttled_s   seconds of each reason; empty if there were none, None if nothing tells
    clock_share   mean of the measured clock over the requested one: below 1 the firmware slows down
    """

    duration_s: float
    samples: int
    energy: Energy
    mean_c: float | None
    peak_c: float | None
    temperature_sensor: str | None
    throttled_s: Mapping[str, float] | None
    clock_share: float | None
    lowest_supply_v: float | None
    battery_percent: float | None

    @property
    def watts(self) -> float | None:
        """Mean power."""
        joules = self.energy.joules
        return joules / self.duration_s if joules is not None and self.duration_s > 0 else None

    @property
    def throttling(self) -> str:
        """In words, for a line."""
        if self.throttled_s is None:
            return "throttling unknown"
        reasons = [f"{reason} {s:.0f} s" for reason, s in self.throttled_s.items() if s > 0]
        return ", ".join(reasons) or "not throttled"

    def to_json(self) -> dict[str, Any]:
        energy = self.energy
        return {
            "duration_s": self.duration_s,
            "samples": self.samples,
            "energy": {
                "joules": energy.joules,
                "net_joules": energy.net_joules,
                "watts": self.watts,
                "source": energy.source,
                "scope": energy.scope,
                "samples": energy.samples,
                "reason": energy.reason,
            },
            "temperature": {
                "peak_c": self.peak_c,
                "mean_c": self.mean_c,
                "source": self.temperature_sensor,
            },
            "throttling": {
                "seconds": None if self.throttled_s is None else dict(self.throttled_s),
                "clock_share": self.clock_share,
                "reason": NO_THROTTLING_SIGN if self.throttled_s is None else None,
            },
            "lowest_supply_v": self.lowest_supply_v,
            "battery_percent": self.battery_percent,
        }


class Mean:
    """Of numbers that may be absent."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float | None) -> None:
        if value is not None:
            self._sum, self._count = self._sum + value, self._count + 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


class Window:
    """Takes samples; memory does not grow with their number."""

    def __init__(self) -> None:
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._samples = 0
        self._accounts: dict[tuple[str, str], Account] = {}
        self._celsius, self._clock_share = Mean(), Mean()
        self._peak_c: float | None = None
        self._throttled_s: dict[str, float] | None = None
        self._supply_v: float | None = None

    def add(self, sample: Sample) -> None:
        self._samples += 1
        for power in sample.power:
            key = power.source, power.scope
            account = self._accounts.setdefault(key, Account(*key))
            account.add(sample.t, power)
        celsius, volts = sample.number("temperature_c"), sample.number("supply_v")
        self._celsius.add(celsius)
        self._peak_c = _extreme(max, self._peak_c, celsius)
        self._supply_v = _extreme(min, self._supply_v, volts)
        self._clock_share.add(clock_share(sample))
        self._count_throttling(sample)
        self._first, self._last = self._first or sample, sample

    def report(self, idle_w: Mapping[str, float] | None = None) -> Report:
        """`idle_w`: watts of the idle device by source, for the net figure."""
        first, last = self._first, self._last
        duration = last.t - first.t if first and last else 0.0
        return Report(
            duration_s=duration,
            samples=self._samples,
            energy=self._energy(duration, idle_w or {}),
            mean_c=self._celsius.value,
            peak_c=self._peak_c,
            temperature_sensor=last.text("temperature_sensor") if last else None,
            throttled_s=self._throttled_s,
            clock_share=self._clock_share.value,
            lowest_supply_v=self._supply_v,
            battery_percent=last.number("battery_percent") if last else None,
        )

    def _energy(self, duration_s: float, idle_w: Mapping[str, float]) -> Energy:
        """Of the first source that has an answer; otherwise why the first one has none."""
        verdicts = [
            account.energy(duration_s, idle_w.get(account.source))
            for account in sorted(self._accounts.values(), key=self._belief)
        ]
        sure = next((verdict for verdict in verdicts if verdict.joules is not None), None)
        return sure or (verdicts[0] if verdicts else NOTHING)

    def _belief(self, account: Account) -> int:
        return BELIEF.index(account.source) if account.source in BELIEF else len(BELIEF)

    def _count_throttling(self, sample: Sample) -> None:
        """The state that a sample shows lasted since the one before."""
        reasons = throttle_reasons(sample)
        if reasons is None:
            return
        if self._throttled_s is None:
            self._throttled_s = {}
        seconds = sample.t - self._last.t if self._last else 0.0
        for reason in reasons:
            self._throttled_s.setdefault(reason, 0.0)
            self._throttled_s[reason] += min(seconds, LONGEST_GAP_S)


def throttle_reasons(sample: Sample) -> list[str] | None:
    """What slows the device down now, in words; None where nothing tells."""
    known, reasons = False, []
    said = sample.text("throttle_reason")
    if said is not None:
        known = True
        reasons += [] if said == "not throttled" else said.split(", ")
    if sample.number("under_voltage") and "under-voltage" not in reasons:
        known = True  # no alarm, though, says nothing of heat
        reasons.append("under-voltage")
    status = sample.text("thermal_status")
    if status is not None:
        known = True
        reasons += [] if status == "none" else [f"thermal status {status}"]
    return reasons if known else None


def clock_share(sample: Sample) -> float | None:
    """The clock that runs over the clock that was asked for."""
    measured, requested = sample.number("measured_hz"), sample.number("requested_hz")
    return measured / requested if measured and requested else None


def _extreme(
    choose: Callable[[Iterable[float]], float], known: float | None, value: float | None
) -> float | None:
    values = [x for x in (known, value) if x is not None]
    return choose(values) if values else None
