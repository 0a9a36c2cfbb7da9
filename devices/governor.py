"""Keeping the sustained rate up: threads for the next step, and a pause before it.

The ladder, in the order of what it costs: fewer threads where memory is the limit anyway, a lower
clock where the system lets us, pauses, and at last no new work.  One change per ten seconds.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from .activity import Activity
from .keep_limits import KeepLimits
from .phone_cliff import PhoneCliff
from .policy import Targets, governed_celsius, governed_nodes, refusal
from .power_fit import PowerFit
from .probe import RECHECK_ROUNDS, Probe, agrees
from .profile import Profile
from .rows import watts as watts_between
from .sample import Sample
from .setting import GENERIC_POWER, Setting, Step, knee, ladder, usual_speeds
from .setting import watts as model_watts
from .situation import Situation, Wish
from .thermal_model import USUAL, Forecast, TwoNode
from .window import clock_share, throttle_reasons

HOLD_S = 10.0
WARM_TOKENS = 3  # the first ones map pages and fill caches
SURE_TOKENS = 10  # with a setting, before its usual step is known
SLOWED = 1.25  # times the usual step at best
OUTLIER = 4.0  # times the usual step: somebody else had the core
SETTLES_S = 1.5  # after a change, before watts are of the new setting
IDLE_S = 2.0  # without a step
SMOOTH_S = 10.0
STUCK_S, STUCK_K = 20.0, 1.0  # a reading that stands still while the model moves on
FULL_CLOCK = 0.98  # of the clock that was asked for: less is taken away by the firmware
BODY_STUCK_K = 3.0  # a phone's body does stand still, once its threads keep it there
REFUSED_K = 2.0  # above the limit, with nothing left to slow down
UNDER_VOLTAGE = (
    "the supply cannot keep its voltage: fewer threads now; "
    "use the official power supply and a short cable"
)

CONTENDED = "the cores are busy with something else: how many threads are best is not remembered"


class Law(Protocol):
    """Decides; the governor sees to it that it does not decide too often.

    power_share   of the usual power, that the system leaves us now without telling by a clock
    minds_heat    whether it wants a forecast of the temperature
    """

    power_share: float
    minds_heat: bool

    def wish(self, now: Situation) -> Wish | None: ...


class Cap(Protocol):
    """The system's highest clock, as a share."""

    def set(self, share: float) -> str | None: ...


class Governor:
    """Between the monitor, whose samples it gets, and the runtime, which asks before every step.

    `speeds` by threads are remembered from before, and two of them checked with the first tokens;
    without them all are found so where limits are given, and `remember` is told.  `note` gets a line for people.
    """

    def __init__(
        self,
        profile: Profile,
        threads: int,
        targets: Targets | None = None,
        *,
        clocks: tuple[float, ...] = (1.0,),
        cap: Cap | None = None,
        speeds: dict[int, float] | None = None,
        remember: Callable[[dict[int, float]], None] = lambda speeds: None,
        note: Callable[[str], None] = lambda text: None,
    ):
        self.profile, self.targets = profile, targets or Targets()
        self._most, self._power = threads, profile.power or GENERIC_POWER
        self._clocks, self._cap, self._asleep = clocks if cap else (1.0,), cap, min(clocks)
        self._remember, self._note = remember, note
        self._remembered = speeds
        self._probe = self._first_probe()
        self._law: Law | None = None
        if self.targets.given:
            self._law = KeepLimits(self.targets)
        elif profile.key == "android":
            self._law = PhoneCliff(profile)
        self._steps: list[Step] = []
        self._index = 0
        self._forecast = Forecast(governed_nodes(profile))
        self._heat = _Plausible(profile)
        self._smooth = _Smooth()
        self._fit = PowerFit()
        self._sample: Sample | None = None
        self._changed = -math.inf
        self._blind_since: float | None = None
        self._seconds = 0.0  # at work in the step before
        self._usual: float | None = None
        self._fastest: dict[int, float] = {}  # usual seconds of a step, at best, by threads
        self._tokens_here = 0  # with this setting
        self._steps_done, self._steps_seen, self._last_step = 0, 0, -math.inf
        self._prefill_tokens = self._decode_tokens = 0
        self._changes: Counter[str] = Counter()
        self._decode_s, self._action, self._under_voltage = 0.0, "", False
        self._prefilling = False
        self._build(speeds or usual_speeds(threads))

    # -- the runtime's side

    def before_step(self) -> tuple[int, float]:
        """(threads for the next step, seconds to wait before it)."""
        if self._probe is not None:
            return self._probe.threads, 0.0
        setting = self.setting
        return setting.threads, self._seconds * (1 / setting.duty - 1)

    def after_step(self, tokens: int, seconds: float, cpu_s: float | None = None) -> None:
        """What the step took, without the pause; `cpu_s` of it the caller's thread had a core."""
        self._steps_done += 1
        self._prefilling = tokens > 1
        if self._prefilling:
            self._prefill_tokens += tokens
            self._seconds = seconds
            return
        self._decode_tokens += 1
        self._decode_s += seconds
        if self._decode_tokens > WARM_TOKENS:
            usual = seconds if self._usual is None else self._usual
            self._usual = usual + 0.1 * (min(seconds, OUTLIER * usual) - usual)
            self._seconds = min(seconds, OUTLIER * usual)
            self._note_pace()
        if self._probe is not None:
            self._probe.take(seconds, cpu_s)
            if self._probe.done:
                self._end_probe(self._probe)

    @property
    def _slowed(self) -> bool:
        """Whether steps take longer than they did with as many threads: so a throttled phone is known."""
        fastest = self._fastest.get(self.setting.threads)
        return fastest is not None and self._usual is not None and self._usual > SLOWED * fastest

    @property
    def refusal(self) -> str | None:
        """Why no new work should be begun, or None: the last rung of the ladder."""
        return refusal(self.targets, self._sample, self.profile) or self._too_hot_at_the_slowest()

    # -- the monitor's side

    def observe(self, sample: Sample) -> None:
        """Take a sample, and at most once in ten seconds act on it."""
        busy = self._busy(sample.t)
        if self._law is not None:
            self._learn(sample, busy)
        self._sample = sample
        if self._probe is not None or not busy:
            return
        if sample.t - self._changed < HOLD_S:
            return
        wish = self._on_under_voltage(sample)
        if wish is None and self._law is not None:
            wish = self._law.wish(self._situation(sample))
        if wish is not None and wish.index != self._index:
            self._change(wish, sample.t)

    @property
    def setting(self) -> Setting:
        return self._steps[self._index].setting

    @property
    def activity(self) -> Activity:
        busy = self._sample is not None and self._sample.t - self._last_step < IDLE_S
        threads = self._probe.threads if self._probe is not None else self.setting.threads
        return Activity(
            threads=threads,
            duty=self.setting.duty,
            phase=("prefill" if self._prefilling else "decode") if busy else "idle",
            prefill_tokens=self._prefill_tokens,
            decode_tokens=self._decode_tokens,
            decode_s=self._decode_s,
            changes_by=dict(self._changes),
            action=self._action,
        )

    # -- its own

    def _note_pace(self) -> None:
        self._tokens_here += 1
        if self._probe is None and self._tokens_here > SURE_TOKENS and self._usual is not None:
            threads = self.setting.threads
            self._fastest[threads] = min(self._usual, self._fastest.get(threads, math.inf))

    def _too_hot_at_the_slowest(self) -> str | None:
        limit = self.targets.max_temp_c
        if limit is None or self._sample is None or self._index < len(self._steps) - 1:
            return None
        celsius = governed_celsius(self._sample, self.profile)
        if celsius is None or celsius <= limit + REFUSED_K:
            return None
        return f"{celsius:.0f} °C at the slowest setting, the limit is {limit:.0f}; let it cool"

    def _learn(self, sample: Sample, busy: bool) -> None:
        watts = self._watts(sample, busy)
        if self._law is not None and self._law.minds_heat:
            celsius = self._celsius(sample, watts)
            self._forecast.update(sample.t, watts, celsius)
            if celsius is None and busy:
                self._learn_from_clock(sample)
        self._smooth.take(sample.t, self._decode_tokens, self._decode_s)

    def _learn_from_clock(self, sample: Sample) -> None:
        """Without a temperature: a firmware that throttles has one."""
        limits, share = self.profile.limits, clock_share(sample)
        known = [limit for limit in (limits.soft_c, limits.throttle_c) if limit is not None]
        starved = "under-voltage" in (throttle_reasons(sample) or [])
        if known and share is not None and share < FULL_CLOCK and not starved:
            self._forecast.at_least(min(known))

    def _situation(self, sample: Sample) -> Situation:
        blind = 0.0 if self._blind_since is None else sample.t - self._blind_since
        return Situation(
            t=sample.t,
            sample=sample,
            steps=self._steps,
            index=self._index,
            power=self._fit,
            forecast=self._forecast,
            unchanged_s=sample.t - self._changed,
            blind_s=blind,
            tok_s=self._smooth.tok_s,
            tokens=self._decode_tokens,
            at_work_s=self._decode_s,
        )

    def _busy(self, t: float) -> bool:
        if self._steps_done > self._steps_seen:
            self._steps_seen, self._last_step = self._steps_done, t
        return t - self._last_step < IDLE_S

    def _watts(self, sample: Sample, busy: bool) -> float:
        """Measured, or the model's."""
        setting = self.setting
        if self._probe is not None:
            setting = Setting(self._probe.threads)
        setting = setting if busy else Setting(0)
        idle, cores = model_watts(setting, self._power, self._asleep, clock_share(sample))
        measured = _measured(self._sample, sample)
        if measured is not None:
            steady = self._probe is None and sample.t - self._changed > SETTLES_S
            if busy and steady and (clock_share(sample) is not None or not self._slowed):
                self._fit.learn(idle, cores, measured)
            return measured
        share = self._law.power_share if busy and self._law is not None else 1.0
        return share * (idle + cores)

    def _celsius(self, sample: Sample, watts: float) -> float | None:
        raw = governed_celsius(sample, self.profile)
        celsius = self._heat.check(sample.t, raw, watts, self._forecast.fitted)
        if celsius is not None:
            self._blind_since = None
        elif self._blind_since is None:
            self._blind_since = sample.t
        return celsius

    def _on_under_voltage(self, sample: Sample) -> Wish | None:
        """Heat rules do not apply: current is too high for the supply, so fewer threads at once."""
        low = "under-voltage" in (throttle_reasons(sample) or [])
        if low and not self._under_voltage:
            self._note(UNDER_VOLTAGE)
        self._under_voltage = low
        threads = self.setting.threads
        if not low or threads == 1:
            return None
        fewer = (i for i, s in enumerate(self._steps) if s.setting == Setting(threads - 1))
        return Wish(next(fewer, self._index), "under-voltage")

    def _change(self, wish: Wish, t: float) -> None:
        before, self._index = self.setting, wish.index
        if self._cap is not None and before.clock != self.setting.clock:
            failed = self._cap.set(self.setting.clock)
            if failed is not None:  # no longer ours: go on without it
                self._cap, self._clocks = None, (1.0,)
                self._build({s.setting.threads: s.speed for s in _full_steps(self._steps)})
        self._changed, self._usual, self._tokens_here = t, None, 0
        self._changes[_kind(before, self.setting)] += 1
        self._action = f"{self.setting}: {wish.why}"
        self._smooth.restart()
        self._note(self._action)

    def _end_probe(self, probe: Probe) -> None:
        self._probe = None
        self._changed = -math.inf if self._sample is None else self._sample.t - HOLD_S + SETTLES_S
        if self._remembered is not None:
            if not probe.contended and not agrees(probe.speeds, self._remembered):
                self._remembered, self._probe = None, Probe(range(1, self._most + 1))
            return
        if probe.contended:
            self._note(CONTENDED)
        else:
            self._remember(probe.speeds)
        self._build(probe.speeds)

    def _first_probe(self) -> Probe | None:
        """All numbers of threads; of those that are remembered only the knee, against all threads."""
        if not self.targets.given or self._most == 1:
            return None
        if self._remembered is None:
            return Probe(range(1, self._most + 1))
        best = knee(self._remembered)
        return Probe((best, self._most), RECHECK_ROUNDS) if best < self._most else None

    def _build(self, speeds: dict[int, float]) -> None:
        if self.targets.eco:
            most = knee(speeds)
            speeds = {n: speed for n, speed in speeds.items() if n <= most}
        keep_threads = not self.targets.given
        self._steps = ladder(speeds, self._power, self._clocks, keep_threads, self._asleep)
        self._index = 0


def _kind(before: Setting, after: Setting) -> str:
    if before.threads != after.threads:
        return "threads"
    return "clock" if before.clock != after.clock else "pause"


def _full_steps(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.setting.duty == step.setting.clock == 1]


def _measured(last: Sample | None, sample: Sample) -> float | None:
    """Watts of the best source that is no estimate."""
    for power in sample.power:
        if power.scope != "model":
            return watts_between(last, sample, power.source)
    return None


class _Smooth:
    """Figures of the last seconds."""

    def __init__(self) -> None:
        self.tok_s: float | None = None
        self._recent: deque[tuple[float, int, float]] = deque()  # (t, tokens, seconds at work)

    def take(self, t: float, tokens: int, at_work_s: float) -> None:
        self._recent.append((t, tokens, at_work_s))
        while self._recent[0][0] < t - 3 * SMOOTH_S:
            self._recent.popleft()
        first_t, first_tokens, first_s = self._recent[0]
        worked = at_work_s - first_s
        enough = t - first_t >= SMOOTH_S and worked > 0
        self.tok_s = (tokens - first_tokens) / worked if enough else None

    def restart(self) -> None:
        """After a change the old figures say nothing."""
        self._recent.clear()


class _Plausible:
    """Lets a temperature through unless it stands still while the model moves on; then until it moves."""

    def __init__(self, profile: Profile):
        self._model = TwoNode(governed_nodes(profile) or USUAL, 0.0)
        self._most_k = BODY_STUCK_K if profile.key == "android" else STUCK_K
        self._t: float | None = None
        self._reading: float | None = None
        self._since, self._model_then = 0.0, 0.0  # of the last reading that was another
        self._stuck = False

    def check(
        self, t: float, celsius: float | None, watts: float, fitted: TwoNode | None
    ) -> float | None:
        """`fitted`: the device as it is known now; kept as it was at the last reading that moved."""
        self._model.advance(watts, 0.0 if self._t is None else t - self._t)
        self._t = t
        if celsius is None:
            return None
        if celsius != self._reading:
            self._model = fitted or self._model
            self._reading, self._since, self._model_then = celsius, t, self._model.celsius
            self._stuck = False
        moved = abs(self._model.celsius - self._model_then)
        self._stuck = self._stuck or (t - self._since > STUCK_S and moved > self._most_k)
        return None if self._stuck else celsius
