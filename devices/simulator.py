"""A device in virtual time: two thermal poles, firmware that throttles, a model that is decoded.

So that policies are compared by numbers.  A plant is a profile with a room around it; what the profile
only estimates is estimated here too, and `varied` moves all of it by 30 %.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from .profile import Node, PowerModel, Profile
from .reading import Value
from .sample import Power, Sample
from .setting import Setting, ladder
from .thermal_model import TwoNode

TICK_S = 1.0
SETTLED_S = 600.0
STEP_K = 0.55  # of the sensor
NATURAL_TOK_S = 10.0  # at the top clock with all threads; only ratios count


class Policy(Protocol):
    """What a simulation asks: the runtime's side of a governor, and the monitor's."""

    def before_step(self) -> tuple[int, float]: ...

    def after_step(self, tokens: int, seconds: float) -> None: ...

    def observe(self, sample: Sample) -> None: ...

    @property
    def setting(self) -> Setting: ...


@dataclass(frozen=True)
class Plant:
    """A device at work.  Clocks are shares of the top clock.

    memory_share     of a token's time with all threads at the top clock: it does not scale
    one_thread       share of the memory's bandwidth that one thread draws
    cliff            a phone's: from soft_c on this share of speed, and of power, until it is
                     `release_k` cooler
    writable_clock   whether the governor may set the highest clock
    """

    profile: Profile
    power: PowerModel
    nodes: tuple[Node, Node]
    ambient: float = 22.0
    memory_share: float = 0.65
    one_thread: float = 0.55
    cliff: tuple[float, float] | None = None
    release_k: float = 2.0
    writable_clock: bool = False
    lag_s: float = 0.0
    dropout: float = 0.0
    stuck_after_s: float | None = None
    measures_power: bool = False
    measures_clock: bool = True

    @property
    def cores(self) -> int:
        return self.profile.cores or 4

    @property
    def clocks(self) -> tuple[float, ...]:
        top = max(self.profile.clocks_mhz, default=1)
        return tuple(mhz / top for mhz in self.profile.clocks_mhz) or (1.0,)

    def speed(self, threads: int, clock: float = 1.0) -> float:
        """Tokens a second without pauses."""
        memory = self.memory_share / min(1.0, self.one_thread * threads)
        return NATURAL_TOK_S / (memory + (1 - self.memory_share) * self.cores / threads / clock)

    def varied(self, seed: int) -> Plant:
        """All that is not known well moved by up to 30 %, another room, a worse sensor."""
        rng = random.Random(seed)

        def about(value: float) -> float:
            return value * rng.uniform(0.7, 1.3)

        fast, slow = self.nodes
        return replace(
            self,
            power=replace(
                self.power, idle_w=about(self.power.idle_w), core_w=about(self.power.core_w)
            ),
            nodes=(Node(about(fast.r), about(fast.tau)), Node(about(slow.r), about(slow.tau))),
            ambient=rng.uniform(5, 40),
            memory_share=rng.uniform(0.45, 0.85),
            one_thread=rng.uniform(0.4, 0.9),
            cliff=self.cliff and (about(self.cliff[0]), about(self.cliff[1])),
            lag_s=rng.uniform(0, 3),
            dropout=rng.choice((0.0, 0.0, 0.05)),
        )


@dataclass
class Outcome:
    """What a run came to.  Tokens a second are of the last third, peaks after the settling time.

    A phone that falls off its cliff again and again is counted from fall to fall: of a part of a
    cycle chance says how much of it was fast.
    """

    tokens: float = 0.0
    joules: float = 0.0
    peak_c: float = -273.0
    settled_peak_c: float = -273.0
    peak_w: float = 0.0
    settled_peak_w: float = 0.0
    sustained_tok_s: float = 0.0
    throttled_s: float = 0.0
    changes: list[float] = field(default_factory=list)  # times

    @property
    def joules_per_token(self) -> float:
        return self.joules / self.tokens


@dataclass(frozen=True)
class Ceiling:
    """What a constant setting must keep at all times: without the firmware's help."""

    celsius: float = math.inf
    watts: float = math.inf


class Firmware:
    """Lowers the clock by itself: a ramp above throttle_c, a step at soft_c, or a phone's cliff."""

    def __init__(self, plant: Plant):
        self._plant, self._limits = plant, plant.profile.limits
        self.fallen = False  # off a phone's cliff

    def clock(self, celsius: float, body_c: float) -> float:
        limits, clocks = self._limits, self._plant.clocks
        if self._plant.cliff is not None:
            assert limits.soft_c is not None
            edge = limits.soft_c - (self._plant.release_k if self.fallen else 0.0)
            self.fallen = body_c >= edge
            return 1.0
        if limits.throttle_c is None or limits.hard_c is None:
            return 1.0
        share = (celsius - limits.throttle_c) / (limits.hard_c - limits.throttle_c)
        if share >= 0:
            wanted = 1.0 - min(1.0, share) * (1.0 - clocks[0])
            return max((c for c in clocks if c <= wanted), default=clocks[0])
        if limits.soft_c is not None and celsius > limits.soft_c:
            return clocks[-2]
        return 1.0


class Simulation:
    """One plant under one policy."""

    def __init__(self, plant: Plant, policy: Policy, seed: int = 0):
        self.plant, self.policy = plant, policy
        self.heat = TwoNode(plant.nodes, plant.ambient)
        self.firmware, self.outcome = Firmware(plant), Outcome()
        self.now = 0.0
        self._rng = random.Random(seed)
        self._joules = 0.0
        self._delayed: deque[tuple[float, float, float]] = deque()  # (time, chip, body)
        self._frozen: tuple[float, float] | None = None
        self._owed = 0.0  # part of a token
        self._falls: list[tuple[float, float]] = []  # off a phone's cliff: time, tokens so far

    def run(self, seconds: float) -> Outcome:
        before = 0.0, 0.0  # the last third: time, tokens
        while self.now < seconds:
            setting = self.policy.setting
            self._tick()
            if self.now <= seconds * 2 / 3:
                before = self.now, self.outcome.tokens
            if self.policy.setting != setting:
                self.outcome.changes.append(self.now)
        self.outcome.sustained_tok_s = self._rate_since(before)
        return self.outcome

    def _rate_since(self, before: tuple[float, float]) -> float:
        falls = [fall for fall in self._falls if fall >= before]
        whole = falls if len(falls) > 1 else [before, (self.now, self.outcome.tokens)]
        (start, tokens), (end, more) = whole[0], whole[-1]
        return (more - tokens) / (end - start)

    def _tick(self) -> None:
        """One second."""
        plant = self.plant
        body_c = self.heat.ambient + self.heat.x2
        was_fallen = self.firmware.fallen
        firmware = self.firmware.clock(self.heat.celsius, body_c)
        if self.firmware.fallen and not was_fallen:
            self._falls.append((self.now, self.outcome.tokens))
        cap = self.policy.setting.clock
        clock = min(firmware, cap)
        threads, pause = self.policy.before_step()
        fallen = plant.cliff if self.firmware.fallen and plant.cliff else (1.0, 1.0)
        step = self._step_s(threads, clock, fallen[0])
        duty = step / (step + pause)
        watts = fallen[1] * plant.power.watts(threads, clock) * duty
        watts += (1 - duty) * plant.power.watts(0, plant.clocks[0])
        self.heat.advance(watts, TICK_S)
        self.now += TICK_S
        tokens = TICK_S * duty / step
        self._report_steps(tokens, clock, fallen[0])
        self._note(tokens, watts, clock < cap or fallen[0] < 1)
        self.policy.observe(self._sample(watts, cap, clock))

    def _step_s(self, threads: int, clock: float, left: float) -> float:
        return 1 / (self.plant.speed(threads, clock) * left)

    def _report_steps(self, tokens: float, clock: float, left: float) -> None:
        """Asked before each: whoever looks for the knee changes threads from token to token."""
        self._owed += tokens
        while self._owed >= 1:
            self._owed -= 1
            threads, _ = self.policy.before_step()
            self.policy.after_step(1, self._step_s(threads, clock, left))

    def _note(self, tokens: float, watts: float, throttled: bool) -> None:
        out = self.outcome
        out.tokens += tokens
        out.joules += watts * TICK_S
        self._joules += watts * TICK_S
        out.throttled_s += TICK_S * throttled
        celsius = self._controlled()
        out.peak_c, out.peak_w = max(out.peak_c, celsius), max(out.peak_w, watts)
        if self.now > SETTLED_S:
            out.settled_peak_c = max(out.settled_peak_c, celsius)
            out.settled_peak_w = max(out.settled_peak_w, watts)

    def _controlled(self) -> float:
        body = self.plant.cliff is not None
        return self.heat.ambient + self.heat.x2 if body else self.heat.celsius

    def _sample(self, watts: float, cap: float, clock: float) -> Sample:
        chip_c, body_c = self._sensed()
        values: dict[str, Value] = {}
        if self._rng.random() >= self.plant.dropout:
            values = {"temperature_c": chip_c}
            if self.plant.cliff is not None:
                values |= {"battery_c": body_c}
        top = 1e6 * max(self.plant.profile.clocks_mhz, default=1000)
        requested = top * cap
        values |= {"requested_hz": requested, "max_hz": requested}
        if self.plant.measures_clock:
            values |= {"measured_hz": top * clock}
        power = (Power("pmic", "board-rails", watts=watts * self._rng.uniform(0.9, 1.1)),)
        return Sample(self.now, self.now, values, power if self.plant.measures_power else ())

    def _sensed(self) -> tuple[float, float]:
        """Chip and body as the sensor gives them: late, in steps, or stuck."""
        self._delayed.append((self.now, self.heat.celsius, self.heat.ambient + self.heat.x2))
        while self._delayed[0][0] < self.now - self.plant.lag_s - TICK_S / 2:
            self._delayed.popleft()
        _, chip, body = self._delayed[0]
        stuck = self.plant.stuck_after_s
        if stuck is not None and self.now >= stuck:
            self._frozen = self._frozen or (_stepped(chip), body)
            return self._frozen
        return _stepped(chip + self._rng.uniform(-0.3, 0.3)), round(body, 1)


def _stepped(celsius: float) -> float:
    return round(celsius / STEP_K) * STEP_K


class Constant:
    """No governor: one setting for ever."""

    def __init__(self, setting: Setting, plant: Plant):
        self.setting = setting
        self._seconds = 1 / plant.speed(setting.threads)

    def before_step(self) -> tuple[int, float]:
        return self.setting.threads, self._seconds * (1 / self.setting.duty - 1)

    def after_step(self, tokens: int, seconds: float) -> None:
        self._seconds = seconds

    def observe(self, sample: Sample) -> None:
        pass


def plants(profiles: dict[str, Profile]) -> Iterator[Plant]:
    """One of each profile that says enough of itself: the first way of cooling, 22 degrees."""
    for profile in profiles.values():
        nodes = profile.usual_cooling
        if profile.power is None or nodes is None:
            continue
        phone = profile.key == "android"
        yield Plant(
            profile,
            profile.power,
            nodes,
            # Reported: 31 to 56 % of the speed is left.  The power is our estimate.
            cliff=(0.44, 0.45) if phone else None,
            measures_clock=not phone,
            measures_power=profile.power.scope == "board-rails",
        )


def best_constant(plant: Plant, ceiling: Ceiling, seconds: float) -> Outcome:
    """The fastest setting that keeps the ceiling, by search along the ladder; the last if none does."""
    speeds = {n: plant.speed(n) for n in range(1, plant.cores + 1)}
    clocks = plant.clocks if plant.writable_clock else (1.0,)
    steps = ladder(speeds, plant.power, clocks, asleep=plant.clocks[0])
    kept = (step for step in steps if _keeps(plant, step.watts, ceiling, seconds))
    setting = next(kept, steps[-1]).setting
    return Simulation(plant, Constant(setting, plant)).run(seconds)


def _keeps(plant: Plant, watts: float, ceiling: Ceiling, seconds: float) -> bool:
    """At constant power a device is hottest at the end, and the model is exact in one step."""
    heat = TwoNode(plant.nodes, plant.ambient)
    heat.advance(watts, seconds)
    celsius = heat.celsius if plant.cliff is None else heat.ambient + heat.x2
    return watts <= ceiling.watts and celsius <= ceiling.celsius
