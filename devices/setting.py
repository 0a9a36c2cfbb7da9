"""What the governor can set, and which of the settings are worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from .profile import PowerModel

LEAST_DUTY = 0.3
DUTIES = tuple(round(LEAST_DUTY + 0.025 * i, 3) for i in range(29))  # 0.3, 0.325 ... 1
MEMORY_SHARE = 0.6  # of a token's time that does not depend on the clock, until it is measured
ONE_THREAD = 0.55  # of the memory's bandwidth, until it is measured
GENERIC_POWER = PowerModel(
    2.0, 1.0, 1.0, 2.0, "model"
)  # where the profile has none: only ratios count


@dataclass(frozen=True)
class Setting:
    """`clock` is a share of the top clock that the system is told to stay below."""

    threads: int
    clock: float = 1.0
    duty: float = 1.0

    def __str__(self) -> str:
        parts = [f"{self.threads} thread{'' if self.threads == 1 else 's'}"]
        parts += [f"clock {self.clock:.0%}"] if self.clock < 1 else []
        parts += [f"pausing {1 - self.duty:.0%} of the time"] if self.duty < 1 else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Step:
    """A setting with what is expected of it: speed relative to the best, the model's watts in two parts."""

    setting: Setting
    speed: float
    idle_w: float
    core_w: float

    @property
    def watts(self) -> float:
        return self.idle_w + self.core_w


def usual_speeds(most: int) -> dict[int, float]:
    """Speed by threads where nothing was measured: two saturate the memory, which is most of the time."""
    memory, arithmetic = MEMORY_SHARE, 1 - MEMORY_SHARE
    return {
        n: 1 / (memory / min(1.0, ONE_THREAD * n) + arithmetic * most / n)
        for n in range(1, most + 1)
    }


def watts(
    setting: Setting, power: PowerModel, asleep_clock: float, clock: float | None = None
) -> tuple[float, float]:
    """(idle, cores) of the model: at work the clock counts, while pausing the device idles."""
    at_work = min(setting.clock, clock or 1.0)
    idle = power.watts(0, at_work)
    cores = power.watts(setting.threads, at_work) - idle
    asleep = power.watts(0, asleep_clock)
    return setting.duty * idle + (1 - setting.duty) * asleep, setting.duty * cores


def ladder(
    speeds: Mapping[int, float],
    power: PowerModel,
    clocks: Sequence[float] = (1.0,),
    keep_threads: bool = False,
    asleep: float | None = None,
) -> list[Step]:
    """Settings from the fastest down, each with less power than all that are faster.

    `speeds` by threads, at the top clock; `clocks` are shares of it that can be set.  A setting that
    another beats in both speed and power is not on the ladder: on a board whose memory two threads
    saturate, pausing four of them never is.  `keep_threads`: all threads stay the first step, even
    where fewer seem as fast.  `asleep`: the clock that the system itself lowers an idle device to.
    """
    best = max(speeds.values())
    asleep = min(clocks) if asleep is None else asleep

    def expected(setting: Setting) -> Step:
        share = setting.duty / (MEMORY_SHARE + (1 - MEMORY_SHARE) / setting.clock)
        idle, cores = watts(setting, power, asleep)
        return Step(setting, speeds[setting.threads] / best * share, idle, cores)

    settings = (Setting(*choice) for choice in product(speeds, clocks, DUTIES))
    steps = [expected(setting) for setting in settings]
    steps.sort(key=lambda step: (-step.speed, step.watts))
    most = Setting(max(speeds))
    kept = [step for step in steps if keep_threads and step.setting == most]
    for step in steps:
        if not kept or step.watts < kept[-1].watts - 1e-9:
            kept.append(step)
    return kept


def knee(speeds: Mapping[int, float], within: float = 0.05) -> int:
    """The fewest threads that are within 5 % of the fastest."""
    best = max(speeds.values())
    return min(threads for threads, speed in speeds.items() if speed >= (1 - within) * best)
