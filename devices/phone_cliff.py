"""Without limits from the user a phone is kept from its cliff: its system halves the speed at once.

Boards are left to their firmware, which lowers clock and voltage step by step and loses less by it than
threads or pauses would (benchmarks/GOVERNOR.md).
"""

from __future__ import annotations

from .policy import governed_celsius
from .profile import Profile
from .situation import Situation, Wish

CLIFF_LEFT = 0.6  # of the speed: what a phone is left with, 31 to 56 % reported, and a bit of rest
AHEAD_S, MARGIN_K, UP_S = 60.0, 0.3, 120.0
BLIND_S = 20.0  # without a temperature: what cannot be seen is left to the system
DISAPPOINTING = 0.75  # of the speed that a setting should have
LET_GO_K = 4.0  # below the target before it is tried again


class PhoneCliff:
    """Below the target while that costs less than the fall; in a hot room not at all."""

    def __init__(self, profile: Profile):
        self._profile = profile
        self._full_tok_s = 0.0  # with all threads and no pause
        self._let_go = False  # cannot be kept cool enough

    def wish(self, now: Situation) -> Wish | None:
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
