"""The user's limits: the fastest setting whose forecast keeps them."""

from __future__ import annotations

from .policy import Targets
from .situation import Situation, Wish

DOWN_S = 30.0  # so far ahead the limit must not be crossed
UP_S = 90.0  # and before going faster so far
PATIENCE_S = 30.0  # without a change before going faster
MARGIN_K, UP_MARGIN_K = 0.3, 1.0
BLIND_S, BLIND_K = 5.0, 1.0  # without a sensor: the model alone, and farther from the limit
WATTS_SHARE, UP_WATTS_SHARE = 0.98, 0.96
LESS, MORE = 0.85, 1.1  # of the power, where no model is trusted


class KeepLimits:
    """Down at once when the forecast crosses a limit, up after a while with more room."""

    power_share = 1.0  # what a firmware takes away is in the clock

    def __init__(self, targets: Targets):
        self._targets, self.minds_heat = targets, targets.max_temp_c is not None

    def wish(self, now: Situation) -> Wish | None:
        if self._targets.max_temp_c is not None and not now.forecast.trusted:
            return self._by_slope(now, self._targets.max_temp_c)
        slowest = len(now.steps) - 1
        extra = BLIND_K if now.blind_s > BLIND_S else 0.0
        slower = self._first(now, DOWN_S, MARGIN_K + extra, WATTS_SHARE)
        if slower > now.index or (slower == slowest and now.index < slowest):
            return Wish(slower, self._why(now))
        if now.unchanged_s < PATIENCE_S:
            return None
        faster = self._first(now, UP_S, UP_MARGIN_K + extra, UP_WATTS_SHARE)
        return Wish(faster, "there is room below the limit") if faster < now.index else None

    def _first(self, now: Situation, seconds: float, margin: float, share: float) -> int:
        """The fastest place on the ladder that keeps all limits; the last if none does."""
        for i, step in enumerate(now.steps):
            if self._cool(now, i, seconds, margin) and self._frugal(now.power.watts(step), share):
                return i
        return len(now.steps) - 1

    def _cool(self, now: Situation, index: int, seconds: float, margin: float) -> bool:
        limit, celsius = self._targets.max_temp_c, now.ahead(index, seconds)
        return limit is None or celsius is None or celsius <= limit - margin

    def _frugal(self, watts: float, share: float) -> bool:
        limit = self._targets.max_watts
        return limit is None or watts <= share * limit

    def _why(self, now: Situation) -> str:
        limit, celsius = self._targets.max_temp_c, now.ahead(now.index, DOWN_S)
        if limit is not None and celsius is not None and celsius > limit - UP_MARGIN_K - BLIND_K:
            return f"{celsius:.0f} °C in {DOWN_S:.0f} s, limit {limit:.0f}"
        return f"{now.power.watts(now.step):.1f} W, limit {self._targets.max_watts:.1f}"

    def _by_slope(self, now: Situation, limit: float) -> Wish | None:
        """Steps of 10 to 15 % of the power, where the model is off."""
        celsius = now.ahead(now.index, DOWN_S)
        if celsius is None:
            return None
        if celsius > limit - MARGIN_K:
            index = _with_watts(now, LESS)
            return Wish(index, self._why(now)) if index > now.index else None
        if celsius < limit - 5 and now.unchanged_s >= PATIENCE_S and now.blind_s <= BLIND_S:
            index = _with_watts(now, MORE)
            return Wish(index, "there is room below the limit") if index < now.index else None
        return None


def _with_watts(now: Situation, share: float) -> int:
    """The fastest step with at most this share of the power."""
    most = share * now.power.watts(now.step)
    fitting = (i for i, step in enumerate(now.steps) if now.power.watts(step) <= most)
    return next(fitting, len(now.steps) - 1)
