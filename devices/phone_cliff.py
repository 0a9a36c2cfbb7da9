"""Without limits from the user a phone is kept from its cliff: its system halves the speed at once.

Boards are left to their firmware, which lowers clock and voltage step by step and loses less by it than
threads or pauses would (benchmarks/GOVERNOR.md).

Two arms.  Left alone, a phone runs at full speed, falls at some temperature of its body, cools, and
climbs again.  Held, it runs with fewer threads just below that temperature.  Both give the heat away at
the same mean temperature, so both take the same mean power, and the one with fewer joules a token wins.
Each arm counts with what was measured of it, and until then with what is least in its favour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .policy import governed_celsius
from .profile import Profile
from .setting import Step
from .situation import Situation, Wish
from .thermal_model import TwoNode

# A fallen phone, at best: 31 to 56 % of the speed are reported; of the power nobody says anything.
LEFT_SPEED, LEFT_POWER = 0.57, 0.32
MARGIN_K = 0.4  # below the cliff
AHEAD_S, UP_S = 30.0, 60.0
ROOM_K = 0.2  # more than the margin before going faster
BLIND_S = 20.0  # without a temperature: what cannot be seen is left to the system
FALLEN = 0.8  # of the full speed
NEAR_K = 1.5  # from the cliff: only there a loss of speed is a fall
STEADY = 0.95  # of the full speed: less of it, seen near the cliff, is a fall's beginning or end
LET_GO_K = 4.0  # below the cliff before a phone that fell while it was held is held again
GAIN = 1.03  # by which holding must win
JUDGED_S = 240.0  # of holding, before it is judged by what it gave: then at the next slowing down,
LONG_S = 720.0  # so from one to another, or after this
FLAT_S, FLAT_K = 150.0, 0.3  # after a fall without getting cooler: it will not climb by itself
COOLING_GAIN = 1.2  # by which holding must win to be worth the time that cooling takes
RISEN, COOLING_S = (
    1.3,
    900.0,
)  # speed at the same setting that says the phone has climbed; the longest


@dataclass(frozen=True)
class Count:
    """Tokens, and seconds at work on them; what lies between two counts has a rate."""

    tokens: int
    seconds: float

    def rate_since(self, before: Count) -> float:
        return (self.tokens - before.tokens) / max(self.seconds - before.seconds, 1e-9)


class PhoneCliff:
    """Holds a phone below its cliff while that is faster than falling off it."""

    minds_heat = True

    def __init__(self, profile: Profile):
        self._profile = profile
        self.power_share = 1.0  # that the system leaves us, as far as the speed tells
        self._full: float | None = None  # tok/s, never fallen
        self._crossed: Count | None = None  # when the cliff was last reached and not avoided
        self._left_alone: float | None = None  # measured, of the full speed
        self._held: float | None = None
        self._holding: Count | None = None
        self._cooling: tuple[float, float | None] | None = None  # since when, the fallen speed
        self._fell: tuple[float, float] | None = None  # when, at which temperature
        self._let_go = False

    @property
    def _fallen(self) -> bool:
        return self.power_share < 1

    def wish(self, now: Situation) -> Wish | None:
        cliff, celsius = self._profile.limits.soft_c, governed_celsius(now.sample, self._profile)
        if cliff is None or celsius is None or now.blind_s > 0:
            return self._give_up("the temperature is not known") if now.blind_s > BLIND_S else None
        self._notice(now, cliff - celsius)
        limit = cliff - MARGIN_K
        if self._let_go:  # until somebody opens a window
            self._let_go = celsius > cliff - LET_GO_K
            return None
        if now.index == 0:
            return self._fallen_for_good(now, celsius, limit) or self._at_full_speed(now, limit)
        return self._cool(now) if self._cooling else self._at_less(now, limit)

    def _notice(self, now: Situation, away_k: float) -> None:
        """The full speed, or a fall from it."""
        if now.index != 0 or now.tok_s is None:
            return
        if self._full is None:
            self._full = now.tok_s
        share = now.tok_s / self._full
        if share < FALLEN and (self._fallen or away_k < NEAR_K):
            self.power_share = share  # power falls with speed, more or less
            return
        self.power_share = 1.0
        if share > STEADY or away_k > LET_GO_K:
            self._full += 0.02 * (now.tok_s - self._full)  # long contexts are slower

    def _at_full_speed(self, now: Situation, limit: float) -> Wish | None:
        ahead = now.ahead(0, AHEAD_S)
        if self._full is None or self._fallen or ahead is None or ahead < limit:
            return None
        count = Count(now.tokens, now.at_work_s)
        if self._crossed is not None and count.seconds - self._crossed.seconds > UP_S:
            self._left_alone = count.rate_since(self._crossed) / self._full
        vertices = hull(now.steps)
        if not self._worth_it(now, vertices, limit):
            if self._crossed is None or count.seconds - self._crossed.seconds > UP_S:
                self._crossed = count
            return None
        self._crossed, self._holding = None, count
        return Wish(vertices[1], f"stays below {limit:.1f} °C: phones halve their speed there")

    def _worth_it(
        self, now: Situation, vertices: Sequence[int], limit: float, gain: float = GAIN
    ) -> bool:
        """Whether holding is faster than what the system does, at the power that the room takes."""
        model = now.forecast.fitted
        if model is None or not now.forecast.trusted or len(vertices) < 2:
            return False
        steps = [now.steps[i] for i in vertices]
        share = sustainable(model, limit) / now.power.watts(steps[0])
        held = speed_at(steps, share) if self._held is None else self._held
        alone = fallen_mean(share) if self._left_alone is None else self._left_alone
        return held > gain * alone

    def _fallen_for_good(self, now: Situation, celsius: float, limit: float) -> Wish | None:
        """Fewer threads until it climbs, where it would not by itself."""
        if not self._fallen:
            self._fell = None
            return None
        if self._fell is None or celsius < self._fell[1] - FLAT_K:
            self._fell = now.t, celsius
        if now.t - self._fell[0] < FLAT_S:
            return None
        self._left_alone, self._fell = self.power_share, None
        vertices = hull(now.steps)
        if not self._worth_it(now, vertices, limit, COOLING_GAIN):
            self._let_go = True
            return None
        self._cooling = now.t, None
        return Wish(vertices[len(vertices) // 2], "cools, to be held below its cliff")

    def _cool(self, now: Situation) -> Wish | None:
        """Until the speed rises at the same setting."""
        assert self._cooling is not None
        since, fallen = self._cooling
        if now.t - since > COOLING_S:
            self._cooling = None
            return self._give_up("this phone does not recover")
        if now.tok_s is None:
            return None
        if fallen is None:
            self._cooling = since, now.tok_s
        elif now.tok_s > RISEN * fallen:
            self._cooling, self.power_share = None, 1.0
            self._crossed, self._holding = None, Count(now.tokens, now.at_work_s)
        return None

    def _at_less(self, now: Situation, limit: float) -> Wish | None:
        assert self._full is not None and self._holding is not None
        vertices = hull(now.steps)
        place = vertices.index(now.index) if now.index in vertices else len(vertices) - 1
        count = Count(now.tokens, now.at_work_s)
        ahead, faster = now.ahead(now.index, AHEAD_S), now.ahead(vertices[place - 1], UP_S)
        slow_down = ahead is not None and ahead > limit
        if count.seconds - self._holding.seconds > (JUDGED_S if slow_down else LONG_S):
            self._held = count.rate_since(self._holding) / self._full
            self._holding = count
            if not self._worth_it(now, vertices, limit):
                return self._compare(count)
        if ahead is not None and ahead > limit:
            if place + 1 == len(vertices):
                return self._give_up("too warm here to be kept from throttling")
            return Wish(vertices[place + 1], f"{ahead:.1f} °C in {AHEAD_S:.0f} s, cliff near")
        if faster is not None and faster < limit - ROOM_K and now.unchanged_s > UP_S:
            return Wish(vertices[place - 1], "there is room below the cliff")
        return None

    def _compare(self, count: Count) -> Wish:
        """What holding gives is known and not enough: find out what falling gives, or believe it."""
        why = "held below its cliff this phone is slower than in falling off it"
        if self._left_alone is not None:
            return self._give_up(why)
        self._crossed, self._holding = count, None
        return Wish(0, why)

    def _give_up(self, why: str) -> Wish:
        self._let_go, self._holding = True, None
        return Wish(0, why)


def hull(steps: Sequence[Step]) -> list[int]:
    """Places on the ladder without pauses, each the cheapest way down from the one before.

    Between neighbours a phone is switched to and fro: its body takes minutes to notice, and the mean of
    two settings is better than a pause.
    """
    places = [0]
    while True:
        last = steps[places[-1]]
        further = [i for i in range(places[-1] + 1, len(steps)) if steps[i].setting.duty == 1]
        if not further:
            return places
        places.append(min(further, key=lambda i: _loss_per_watt(last, steps[i])))


def _loss_per_watt(faster: Step, slower: Step) -> float:
    return (faster.speed - slower.speed) / (faster.watts - slower.watts)


def sustainable(model: TwoNode, celsius: float) -> float:
    """Watts that keep a temperature for ever."""
    return (celsius - model.ambient) / sum(node.r for node in model.nodes)


def speed_at(steps: Sequence[Step], share: float) -> float:
    """Of the first step's, at a share of its power: the mean of two neighbours."""
    watts = share * steps[0].watts
    if watts >= steps[0].watts:
        return steps[0].speed
    for more, less in pairwise(steps):
        if watts >= less.watts:
            part = (watts - less.watts) / (more.watts - less.watts)
            return less.speed + part * (more.speed - less.speed)
    return max(0.0, steps[-1].speed * watts / steps[-1].watts)


def fallen_mean(share: float) -> float:
    """Speed of a phone that falls and climbs at this share of its full power, at best."""
    climbing = (min(share, 1.0) - LEFT_POWER) / (1 - LEFT_POWER)
    return LEFT_SPEED + max(0.0, climbing) * (1 - LEFT_SPEED)
