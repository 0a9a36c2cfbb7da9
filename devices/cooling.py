"""What a cooler can do: learned from a long run, and the verdict on it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .notebook import Notebook
from .policy import governed_celsius, governed_nodes
from .profile import Profile
from .rows import watts
from .sample import Sample
from .thermal_model import Forecast

SETTLED_S, SETTLED_K_MIN = 600.0, 0.3  # a run tells what is sustained after either
MOVED_K = 5.0  # that the temperature must have risen before a model of it says anything
UNKNOWN = "not known; edge bench MODEL --sustained 30 finds it"


@dataclass(frozen=True)
class Cooling:
    """A long run: tokens a second of its first and last minute, and the thermal model fitted to it.

    kelvin_per_watt, settles_s, room_c are None where the temperature or the power did not say enough;
    `scope` says which watts they are of.
    """

    model: str
    minutes: float
    first_tok_s: float
    last_tok_s: float
    warming_k_min: float | None  # at the end
    peak_c: float | None
    throttled_s: float | None
    kelvin_per_watt: float | None
    settles_s: float | None
    room_c: float | None
    scope: str | None
    unix: float

    @property
    def settled(self) -> bool:
        slow = self.warming_k_min is not None and abs(self.warming_k_min) < SETTLED_K_MIN
        return self.minutes * 60 >= SETTLED_S or slow

    def verdict(self, profile: Profile) -> str:
        """A sentence for people."""
        when = time.strftime("%Y-%m-%d", time.localtime(self.unix))
        if not self.settled:
            return f"not known; the run of {when} ended after {self.minutes:.0f} min, before it settled"
        text = (
            f"with this cooler it sustains {self.last_tok_s:.3g} tok/s, "
            f"{self.last_tok_s / self.first_tok_s:.0%} of the first minute "
            f"({self.model}, {self.minutes:.0f} min, {when})"
        )
        limit = profile.limits.soft_c or profile.limits.throttle_c
        if self.kelvin_per_watt is None or self.settles_s is None or self.room_c is None:
            return text
        text += (
            f"; it warms by {self.kelvin_per_watt:.1f} K per watt of {self.scope} "
            f"and settles in {self.settles_s / 60:.0f} min"
        )
        if limit is None:
            return text
        most = (limit - self.room_c) / self.kelvin_per_watt
        room = f"in a room of {self.room_c:.0f} °C"
        return f"{text}: {most:.1f} W for ever below {limit:.0f} °C {room}"


def learn(
    samples: Iterable[Sample], profile: Profile, model: str, minutes: float, rates: tuple[float, float],
    throttled_s: float | None,
) -> Cooling:  # fmt: skip
    """From the samples of a run; `rates`: tokens a second of its first and last minute."""
    forecast, celsius, scope = Forecast(governed_nodes(profile)), [], None
    last: Sample | None = None
    for sample in samples:
        first = sample.power[0] if sample.power else None
        power = None if first is None else watts(last, sample, first.source)
        degrees = governed_celsius(sample, profile)
        if degrees is not None:
            celsius.append(degrees)
        if first is not None and power is not None:
            scope = first.scope
            forecast.update(sample.t, power, degrees)
        last = sample
    warming = None if forecast.fitted is None else 60 * forecast.slope()
    fitted = forecast.fitted if forecast.trusted else None
    if fitted is None or max(celsius) - min(celsius) < MOVED_K:
        fitted = scope = None
    return Cooling(
        model=model,
        minutes=minutes,
        first_tok_s=rates[0],
        last_tok_s=rates[1],
        warming_k_min=warming,
        peak_c=max(celsius, default=None),
        throttled_s=throttled_s,
        kelvin_per_watt=None if fitted is None else sum(node.r for node in fitted.nodes),
        settles_s=None if fitted is None else 3 * fitted.nodes[1].tau,
        room_c=None if fitted is None else fitted.ambient,
        scope=scope,
        unix=last.unix if last is not None else 0.0,
    )


class Coolings:
    """The last long run of each device."""

    def __init__(self, path: Path):
        self._notebook = Notebook(path)

    def remember(self, device: str, cooling: Cooling) -> None:
        self._notebook.write(device, asdict(cooling))

    def recall(self, device: str) -> Cooling | None:
        return _parsed(self._notebook.read().get(device))


def _parsed(document: Any) -> Cooling | None:
    """None for what is no such document."""
    try:
        found = Cooling(**document)
        numbers = found.minutes + found.first_tok_s + found.last_tok_s + found.unix
    except TypeError:
        return None
    return found if numbers > 0 and found.first_tok_s > 0 else None
