"""What a law of the governor knows when it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .power_fit import PowerFit
from .sample import Sample
from .setting import Step
from .thermal_model import Forecast


@dataclass(frozen=True)
class Situation:
    """`power` turns the ladder's watts into those of this device.

    unchanged_s   since the last change
    blind_s       since the temperature was last known; 0 if it is
    tok_s         at work in the last seconds, without pauses; None before there is one
    tokens        computed one by one since the start, in `at_work_s` without pauses
    """

    t: float
    sample: Sample
    steps: Sequence[Step]
    index: int
    power: PowerFit
    forecast: Forecast
    unchanged_s: float
    blind_s: float
    tok_s: float | None
    tokens: int
    at_work_s: float

    @property
    def step(self) -> Step:
        return self.steps[self.index]

    def ahead(self, index: int, seconds: float) -> float | None:
        """Degrees after `seconds` with another setting."""
        return self.forecast.ahead(self.power.watts(self.steps[index]), seconds)


@dataclass(frozen=True)
class Wish:
    """A place on the ladder, and the reason that people are told."""

    index: int
    why: str
