"""What a process has used since it began, and how fast it is: joules by phase, rates, throttling."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .activity import Activity
from .energy import LEAST_SECONDS, joules_between
from .sample import Power, Sample
from .window import throttle_reasons

NOW_S = 2.0  # of decoding, for a rate of now
SUSTAINED_S = 60.0
FIRST_S = 30.0
LONGEST_STEP_S = 5.0  # between samples; after a longer gap nothing is known of what was between


@dataclass(frozen=True)
class Mark:
    """Where decoding had come to: seconds of it with its pauses, tokens, joules."""

    seconds: float
    tokens: int
    joules: float | None


class Ledger:
    """Takes the samples of a monitor; what lies between two samples belongs to the later one's phase."""

    def __init__(self) -> None:
        self.joules: dict[tuple[str, str, str], float] = {}  # by source, scope, phase
        self.throttled_s: dict[str, float] = {}
        self.first_tok_s: float | None = None
        self._decoding_s = 0.0
        self._marks: deque[Mark] = deque()
        self._last: tuple[Sample, Activity] | None = None

    def take(self, sample: Sample, activity: Activity) -> None:
        last, self._last = self._last, (sample, activity)
        seconds = sample.t - last[0].t if last else 0.0
        if last is None or not 0 < seconds <= LONGEST_STEP_S:
            return
        for reason in throttle_reasons(sample) or ():
            self.throttled_s[reason] = self.throttled_s.get(reason, 0.0) + seconds
        power = self._add_joules(last[0], sample, activity.phase)
        if activity.phase == "decode" and last[1].phase != "prefill":
            self._decode(seconds, activity, power)

    def pause(self) -> None:
        """Nobody looks for a while."""
        self._last = None

    @property
    def tok_s(self) -> float | None:
        """Of the last seconds of decoding, pauses included."""
        return self._rate(NOW_S)

    @property
    def sustained_tok_s(self) -> float | None:
        """Of the last minute of decoding; None before there were ten seconds."""
        return self._rate(SUSTAINED_S) if self._covered() >= LEAST_SECONDS else None

    @property
    def joules_per_token(self) -> float | None:
        """Of the last minute of decoding, with all that the device takes."""
        if self._covered() < LEAST_SECONDS:
            return None
        first, last = self._marks[0], self._marks[-1]
        if first.joules is None or last.joules is None or last.tokens == first.tokens:
            return None
        return (last.joules - first.joules) / (last.tokens - first.tokens)

    def _covered(self) -> float:
        return self._marks[-1].seconds - self._marks[0].seconds if self._marks else 0.0

    def _add_joules(self, before: Sample, sample: Sample, phase: str) -> Power | None:
        """To the account of the source that is believed most; that source, if it had an answer."""
        if not sample.power:
            return None
        power = sample.power[0]
        then = next((p for p in before.power if p.source == power.source), None)
        joules = None if then is None else joules_between(then, power, sample.t - before.t)
        if joules is None:
            return None
        key = power.source, power.scope, phase
        self.joules[key] = self.joules.get(key, 0.0) + joules
        return power

    def _decode(self, seconds: float, activity: Activity, power: Power | None) -> None:
        self._decoding_s += seconds
        joules = None if power is None else self.joules[power.source, power.scope, "decode"]
        self._marks.append(Mark(self._decoding_s, activity.decode_tokens, joules))
        while self._decoding_s - self._marks[0].seconds > SUSTAINED_S:
            self._marks.popleft()
        if self.first_tok_s is None and self._covered() >= FIRST_S:
            self.first_tok_s = self._rate(FIRST_S)

    def _rate(self, seconds: float) -> float | None:
        """Tokens a second back to the mark that is so old, or the first."""
        if len(self._marks) < 2:
            return None
        last = self._marks[-1]
        recent = (m for m in self._marks if last.seconds - m.seconds <= seconds)
        first = next(recent)
        if first is last:
            first = self._marks[-2]
        return (last.tokens - first.tokens) / (last.seconds - first.seconds)
