"""Joules of a stretch of time, from counters or from watts, with what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

from .sample import Power

LONGEST_GAP_S = 5.0  # between two readings of watts that are still joined by a line
LEAST_SAMPLES, LEAST_SECONDS = 10, 10.0  # of watts, either of the two
LEAST_COUNTER_SECONDS = 0.5  # RAPL counts every millisecond
LEAST_COVERAGE = 0.9  # of the time; below, a sensor was away too long


@dataclass(frozen=True)
class Energy:
    """What a stretch took.  `joules` is None with a `reason`; the scope says which joules they are.

    scope: input (all that goes into the board), board-rails (a PMIC's), package (the processor),
    battery (the whole machine), model (an estimate from the profile), none.
    """

    joules: float | None
    net_joules: float | None  # without what the idle device takes; None where that is unknown
    source: str
    scope: str
    samples: int
    reason: str | None

    @property
    def measured(self) -> bool:
        return self.joules is not None and self.scope != "model"

    def per(self, tokens: int) -> float | None:
        return self.joules / tokens if self.joules is not None and tokens > 0 else None


NOTHING = Energy(None, None, "none", "none", 0, "nothing on this device measures power")


class Account:
    """One source's joules, added up sample by sample."""

    def __init__(self, source: str, scope: str):
        self.source, self.scope = source, scope
        self.joules, self.covered_s, self.samples = 0.0, 0.0, 0
        self._last: tuple[float, Power] | None = None
        self._counts = False

    def add(self, t: float, power: Power) -> None:
        """A counter's difference; of watts the trapezoid between neighbours."""
        last, self._last = self._last, (t, power)
        self.samples += 1
        self._counts = power.joules is not None
        if last is None:
            return
        seconds, joules = t - last[0], joules_between(last[1], power, t - last[0])
        if joules is not None:
            self.joules += joules
            self.covered_s += seconds

    def energy(self, duration_s: float, idle_w: float | None) -> Energy:
        """The verdict over a stretch of `duration_s`."""
        reason = self._doubt(duration_s)
        if reason is not None:
            return Energy(None, None, self.source, self.scope, self.samples, reason)
        joules = self.joules * duration_s / self.covered_s  # short gaps at the mean power
        net = None if idle_w is None else joules - idle_w * duration_s
        return Energy(joules, net, self.source, self.scope, self.samples, None)

    def _doubt(self, duration_s: float) -> str | None:
        if self._counts:
            if self.covered_s < LEAST_COUNTER_SECONDS:
                return f"{duration_s:.2g} s are too short for a counter's difference"
        elif self.samples < LEAST_SAMPLES and self.covered_s < LEAST_SECONDS:
            return f"{self.samples} samples in {duration_s:.2g} s are too few for an average"
        if self.covered_s < LEAST_COVERAGE * duration_s:
            return (
                f"the sensor was away for {duration_s - self.covered_s:.0f} of {duration_s:.0f} s"
            )
        return None


def joules_between(before: Power, after: Power, seconds: float) -> float | None:
    """Joules from one reading to the next; None where they cannot be known."""
    if seconds <= 0:
        return None
    if before.joules is not None and after.joules is not None:
        step = after.joules - before.joules
        return step if step >= 0 else None  # the sensor was found anew and counts from zero
    if before.watts is not None and after.watts is not None and seconds <= LONGEST_GAP_S:
        return (before.watts + after.watts) / 2 * seconds
    return None
