"""What a law of the governor knows when it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .sample import Sample
from .setting import Step
from .thermal_model import Forecast


@dataclass(frozen=True)
class Situation:
    """`scale` turns the ladder's watts into those that are measured.

    unchanged_s   since the last change
    blind_s       since the temperature was last known; 0 if it is
    tok_s         of the last seconds, pauses included; None before there is one
    """

    t: float
    sample: Sample
    steps: Sequence[Step]
    index: int
    scale: float
    forecast: Forecast
    unchanged_s: float
    blind_s: float
    tok_s: float | None

    @property
    def step(self) -> Step:
        return self.steps[self.index]

    def ahead(self, index: int, seconds: float) -> float | None:
        """Degrees after `seconds` with another setting."""
        return self.forecast.ahead(self.scale * self.steps[index].watts, seconds)


@dataclass(frozen=True)
class Wish:
    """A place on the ladder, and the reason that people are told."""

    index: int
    why: str
