"""Without limits from the user: act only where the device slows down by itself, and only to be faster.

Firmware that lowers clock and voltage step by step does it well; fewer threads at a higher clock can
still be faster where memory is the limit, so that is tried once and kept if it is.  A phone's
system takes half the speed at once: there it pays to stay below.
"""

from __future__ import annotations

from dataclasses import dataclass

from .policy import governed_celsius
from .profile import Profile
from .setting import MEMORY_SHARE, usual_speeds
from .situation import Situation, Wish

SLOW_CLOCK = 0.9  # of what was asked for: the firmware throttles
HOT_K = 1.0  # below hard_c counts as throttling where no clock is measured
GAIN = 1.03  # expected of a trial before it is worth making
TRIAL_S, BEFORE_S = 90.0, 30.0  # of a trial, and of the figure it is compared with
CLIFF_LEFT = 0.6  # of the speed: what a phone is left with, 31 to 56 % reported, and a bit of rest
AHEAD_S, MARGIN_K, UP_S = 60.0, 0.3, 120.0
BLIND_S = 20.0  # without a temperature: what cannot be seen is left to the system
DISAPPOINTING = 0.75  # of the speed that a setting should have
LET_GO_K = 4.0  # below the target before it is tried again


@dataclass(frozen=True)
class Trial:
    """Fewer threads since a time; `before` is where we were, with how many tokens a second."""

    since: float
    before: int
    tok_s: float


class HelpFirmware:
    """The law of `mode=auto`."""

    def __init__(self, profile: Profile, threads: int):
        self._profile, self._most = profile, threads
        self._slow_since: float | None = None
        self._trial: Trial | None = None
        self._tried: set[int] = set()  # numbers of threads that have been judged
        self._full_tok_s = 0.0  # with all threads and no pause
        self._let_go = False  # a phone that cannot be kept cool enough

    def wish(self, now: Situation) -> Wish | None:
        if self._profile.key == "android":
            return self._before_the_cliff(now)
        if self._trial is not None:
            return self._verdict(now, self._trial)
        return self._fewer_threads(now)

    def _fewer_threads(self, now: Situation) -> Wish | None:
        threads = now.step.setting.threads
        if not self._throttles(now) or now.tok_s is None or threads - 1 in self._tried | {0}:
            return None
        if self._gain(now, threads) < GAIN:
            return None
        index = _full(now, threads - 1)
        if index is None:
            return None
        self._trial = Trial(now.t, now.index, now.tok_s)
        self._tried.add(threads - 1)
        return Wish(index, f"trying {threads - 1} threads: the clock is throttled")

    def _throttles(self, now: Situation) -> bool:
        """For half a minute at least."""
        celsius, hard = governed_celsius(now.sample, self._profile), self._profile.limits.hard_c
        if now.clock_share is not None:
            slow = now.clock_share < SLOW_CLOCK
        else:
            slow = celsius is not None and hard is not None and celsius >= hard - HOT_K
        if not slow:
            self._slow_since = None
            return False
        self._slow_since = now.t if self._slow_since is None else self._slow_since
        return now.t - self._slow_since >= BEFORE_S

    def _gain(self, now: Situation, threads: int) -> float:
        """Speed of one thread less over the speed now, at the power that cooling allows."""
        power, clock = self._profile.power, now.clock_share or SLOW_CLOCK
        if power is None:
            return GAIN
        budget = power.watts(threads, clock)
        higher = clock
        while higher < 1 and power.watts(threads - 1, higher + 0.01) <= budget:
            higher += 0.01
        speeds = usual_speeds(self._most)
        return speeds[threads - 1] / speeds[threads] * _by_clock(higher) / _by_clock(clock)

    def _verdict(self, now: Situation, trial: Trial) -> Wish | None:
        if now.t - trial.since < TRIAL_S or now.tok_s is None:
            return None
        self._trial, self._slow_since = None, None
        if now.tok_s > trial.tok_s:
            return None
        return Wish(
            trial.before, f"{now.tok_s:.1f} tok/s, {trial.tok_s:.1f} before: it did not help"
        )

    def _before_the_cliff(self, now: Situation) -> Wish | None:
        target = self._profile.limits.target_c
        celsius = governed_celsius(now.sample, self._profile)
        if target is None or celsius is None or now.blind_s > 0:
            return Wish(0, "the temperature is not known") if now.blind_s > BLIND_S else None
        if self._let_go:  # as fast as the system lets us, until somebody opens a window
            self._let_go = celsius > target - LET_GO_K
            return None
        if now.tok_s is None:
            return None
        if now.index == 0:
            self._full_tok_s = now.tok_s
        elif now.tok_s < DISAPPOINTING * self._full_tok_s * now.step.speed:
            self._let_go = True
            return Wish(0, "the system throttles all the same")
        wanted = self._first(now, AHEAD_S, target - MARGIN_K)
        if now.steps[wanted].speed < CLIFF_LEFT:
            self._let_go = True
            return Wish(0, "too warm here to be kept from throttling")
        if wanted > now.index:
            return Wish(wanted, f"stays below {target:.0f} °C, where phones halve their speed")
        if now.unchanged_s < UP_S:
            return None
        faster = self._first(now, 2 * AHEAD_S, target - 2 * MARGIN_K)
        return Wish(faster, "there is room below the limit") if faster < now.index else None

    def _first(self, now: Situation, seconds: float, limit: float) -> int:
        for i in range(len(now.steps)):
            celsius = now.ahead(i, seconds)
            if celsius is None or celsius <= limit:
                return i
        return len(now.steps) - 1


def _full(now: Situation, threads: int) -> int | None:
    """The step of so many threads that neither pauses nor caps."""
    for i, step in enumerate(now.steps):
        if step.setting.threads == threads and step.setting.duty == step.setting.clock == 1:
            return i
    return None


def _by_clock(clock: float) -> float:
    """Speed at a share of the top clock."""
    return 1 / (MEMORY_SHARE + (1 - MEMORY_SHARE) / clock)
