"""Policies against simulated devices: tokens in half an hour, heat, joules a token.

python benchmarks/governor.py [--seeds 200] [--jobs 2]

Writes benchmarks/GOVERNOR.md.  Everything in it is the output of devices/simulator.py, in virtual time:
no figure was measured on a board.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise, repeat
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from edge.devices.governor import Governor
from edge.devices.phone_cliff import hull, speed_at
from edge.devices.policy import Targets
from edge.devices.profile import profiles
from edge.devices.setting import Setting, ladder
from edge.devices.simulator import (
    Ceiling,
    Constant,
    Outcome,
    Plant,
    Simulation,
    best_constant,
    plants,
)

SECONDS = 1800.0
PHONE_SECONDS = 5400.0
CLIFF, WANTED = 0.44, 1.3  # loss of speed, and the gain that avoiding it should be
OUTPUT = Path(__file__).parent / "GOVERNOR.md"
HEAD = """# Policies on simulated devices

Made by `{command}`. Everything here is the output of `devices/simulator.py`: a thermal model of two
poles with firmware that throttles, driven by estimated power. **No figure was measured on a board.**
What the parameters rest on is in `devices/profiles/*.json`, under `sources`. The load is a decode of which
65 % waits for memory, 10 tok/s at the top clock; the room has 22 °C unless said otherwise.

- *firmware only*: all threads, no governor.
- *one thread less*: constant.
- *auto*: `edge run` without limits. Boards are left to their firmware; a phone is kept from its cliff.
- *--max-temp T*: the governor with the profile's target; *+ clock*: where `scaling_max_freq` may be written.
- *best constant*: the fastest constant setting that never exceeds T, by search; the bar to compare with.

| device | policy | tokens in 30 min | tok/s at the end | J/token | peak °C | throttled min | changes |
|---|---|---|---|---|---|---|---|
"""
CLOSING = """
J/token has the scope of the profile's power model (Pi 5: PMIC rails; other Pis: 5 V input; phone: package).
"""
VARIED = """
## {seeds} varied devices of each kind

Thermal parameters, power and a phone's cliff ± 30 %, room 5 to 40 °C, share of memory 45 to 85 %, sensor 0 to 3 s
late, in steps of 0.55 K, some with dropouts; every tenth sensor is stuck from 200 s on. Tokens are those of half an
hour, relative to the best constant setting; "over" is the highest figure after ten minutes. Devices on which no
setting keeps the limit are counted in the last column and left out of the others.
"""
HEAT_HEAD = """
### --max-temp, the profile's target

Watts are only read where the device measures them. A stuck sensor has columns of its own: what was learned before
goes on alone, 1 K and two standard deviations of its forecast below the limit. 200 s of readings do not tell well
where a device of 200 to 700 s would settle, nor which part of watts that nothing measures a pause saves.

| device | over the target, K | tokens / best constant: least / median | stuck sensor: over, K | stuck sensor: least / median | least s between changes | too hot |
|---|---|---|---|---|---|---|
"""
WATTS_HEAD = """
### --max-watts, 60 to 90 % of what all cores take

Every device is given a meter that is off by up to 10 % at every reading.

| device | over the limit | tokens / best constant: least / median | least s between changes | impossible |
|---|---|---|---|---|
"""
AUTO_HEAD = """
### No limits

Tokens a second of the last third of the time (half an hour; of a phone, whose body takes ten minutes for every
step, one and a half hours; from fall to fall where it falls again), of those of the firmware alone. "Slowed" are
devices that lose more than 1 % to their firmware.

| device | auto / firmware: least | slowed | median of the slowed |
|---|---|---|---|
"""
CLIFF_TEXT = """
Of {all} phones {lost} lose {cliff:.0%} or more to their cliff; on those the median gain is {median_all:.2f}x. On
{avoidable} of them staying below the cliff for ever could give {wanted}x or more, all about the phone being known:
auto reaches that on {reached}, {median:.2f}x in the median. On the other {others} (rooms so warm that little
power is left below the cliff) the most is {most:.2f}x.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="varied devices of each kind")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    arguments = parser.parse_args()
    seeds = arguments.seeds
    text = HEAD.format(command=f"python benchmarks/governor.py --seeds {seeds}")
    for name, plant in _rooms():
        for policy, outcome in _policies(plant):
            text += _row(name, policy, outcome)
            print(_row(name, policy, outcome), end="", flush=True)
    text += CLOSING + _varied(seeds, arguments.jobs)
    OUTPUT.write_text(text, encoding="utf-8")


def _rooms() -> Iterator[tuple[str, Plant]]:
    for plant in plants(profiles()):
        name = plant.profile.name
        yield name, plant
        if plant.profile.key == "pi-5":
            yield f"{name}, 35 °C room", replace(plant, ambient=35.0)
            cooler = plant.profile.cooling["active cooler"]
            yield f"{name}, active cooler", replace(plant, nodes=cooler)


def _policies(plant: Plant) -> Iterator[tuple[str, Outcome]]:
    target = plant.profile.limits.target_c
    assert target is not None
    yield "firmware only", _constant(plant, plant.cores)
    yield "one thread less", _constant(plant, plant.cores - 1)
    yield "auto", _governed(plant, Targets())
    limit = Targets(max_temp_c=target)
    yield f"--max-temp {target:.0f}", _governed(plant, limit)
    if plant.clocks[1:]:
        yield f"--max-temp {target:.0f} + clock", _governed(plant, limit, clock=True)
    yield f"best constant for {target:.0f}", best_constant(plant, Ceiling(celsius=target), SECONDS)


def _constant(plant: Plant, threads: int, seconds: float = SECONDS) -> Outcome:
    return Simulation(plant, Constant(Setting(threads), plant)).run(seconds)


class Cap:
    """A clock that may be set; the simulation reads the governor's setting."""

    def set(self, share: float) -> None:
        return None


def _governed(
    plant: Plant, targets: Targets, seed: int = 0, clock: bool = False, seconds: float = SECONDS
) -> Outcome:
    cap = Cap() if clock else None
    governor = Governor(plant.profile, plant.cores, targets, clocks=plant.clocks, cap=cap)
    return Simulation(plant, governor, seed).run(seconds)


def _row(name: str, policy: str, out: Outcome) -> str:
    return (
        f"| {name} | {policy} | {out.tokens:,.0f} | {out.sustained_tok_s:.2f} "
        f"| {out.joules_per_token:.3f} | {out.peak_c:.1f} | {out.throttled_s / 60:.1f} "
        f"| {len(out.changes)} |\n"
    )


@dataclass
class Tally:
    """What varied devices of one kind came to, under one limit."""

    over: list[float] = field(default_factory=list)  # K, or a share of the watts
    tokens: list[float] = field(default_factory=list)  # of the best constant setting's
    apart_s: list[float] = field(default_factory=list)
    hopeless: int = 0  # no setting keeps the limit

    def count(self, held: Outcome, best: Outcome, over: float, possible: bool) -> None:
        later = [t for t in held.changes if t > 30]  # before, the thread knee is looked for
        self.apart_s += [b - a for a, b in pairwise(later)]
        if not possible:
            self.hopeless += 1
            return
        self.over.append(over)
        self.tokens.append(held.tokens / best.tokens)

    def kept(self, over: str) -> str:
        """The first columns of a row: the limit, and what keeping it costs."""
        if not self.tokens:
            return "- | -"
        return f"{max(self.over):{over}} | {min(self.tokens):.2f} / {_median(self.tokens):.2f}"

    def counts(self, *others: Tally) -> str:
        """The last columns: of all devices."""
        least = min((s for tally in (self, *others) for s in tally.apart_s), default=math.inf)
        return f"{least:.0f} | {sum(tally.hopeless for tally in (self, *others))}"


@dataclass
class Auto:
    """Tokens a second at the end, of the firmware's, without limits."""

    gains: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)  # by the firmware, of the full speed
    possible: list[float] = field(default_factory=list)  # gains by holding, in the end

    def row(self, name: str) -> str:
        slowed = [gain for gain, kept in zip(self.gains, self.kept, strict=True) if kept < 0.99]
        median = f"{statistics.median(slowed):.2f}x" if slowed else "-"
        return f"| {name} | {min(self.gains):.3f} | {len(slowed)} | {median} |\n"

    def cliff(self) -> str:
        """Of the devices that lose CLIFF of their speed or more."""
        lost = [i for i, kept in enumerate(self.kept) if kept <= 1 - CLIFF]
        avoidable = [self.gains[i] for i in lost if self.possible[i] >= WANTED]
        others = [self.gains[i] for i in lost if self.possible[i] < WANTED]
        reached = sum(gain >= WANTED for gain in avoidable)
        return CLIFF_TEXT.format(
            all=len(self.gains), lost=len(lost), cliff=CLIFF, wanted=WANTED,
            avoidable=len(avoidable), reached=reached, median=_median(avoidable),
            others=len(others), most=max(others, default=1.0),
            median_all=_median([self.gains[i] for i in lost]),
        )  # fmt: skip


def _median(gains: list[float]) -> float:
    return statistics.median(gains) if gains else 1.0


def _varied(seeds: int, jobs: int) -> str:
    rows: list[list[str]] = []
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(_kind, range(len(list(plants(profiles())))), repeat(seeds)):
            print(*found, sep="", flush=True)
            rows.append(found)
    heat, watts, auto, cliff = (list(column) for column in zip(*rows, strict=True))
    text = VARIED.format(seeds=seeds) + HEAT_HEAD + "".join(heat)
    return text + WATTS_HEAD + "".join(watts) + AUTO_HEAD + "".join(auto) + "".join(cliff)


def _kind(number: int, seeds: int) -> list[str]:
    """Rows of one plant's varied devices: heat, watts, no limits; and what to say of a phone's cliff."""
    plant = list(plants(profiles()))[number]
    heat, stuck, watts, auto = Tally(), Tally(), Tally(), Auto()
    for seed in range(seeds):
        one = plant.varied(seed)
        _count_auto(auto, one, seed)
        if seed % 10 == 9:
            _count_heat(stuck, replace(one, stuck_after_s=200.0), seed)
        else:
            _count_heat(heat, one, seed)
        _count_watts(watts, replace(one, measures_power=True), seed)
    name = plant.profile.name
    cliff = auto.cliff() if plant.cliff is not None else ""
    return [
        f"| {name} | {heat.kept('+.1f')} | {stuck.kept('+.1f')} | {heat.counts(stuck)} |\n",
        f"| {name} | {watts.kept('+.1%')} | {watts.counts()} |\n",
        auto.row(name),
        cliff,
    ]


def _count_heat(tally: Tally, plant: Plant, seed: int) -> None:
    target = plant.profile.limits.target_c
    assert target is not None
    best = best_constant(plant, Ceiling(celsius=target), SECONDS)
    held = _governed(plant, Targets(max_temp_c=target), seed)
    tally.count(held, best, held.settled_peak_c - target, best.peak_c <= target)


def _count_watts(tally: Tally, plant: Plant, seed: int) -> None:
    """Six tenths to nine of what all cores take."""
    limit = (0.6 + 0.05 * (seed % 7)) * plant.power.watts(plant.cores)
    best = best_constant(plant, Ceiling(watts=limit), SECONDS)
    held = _governed(plant, Targets(max_watts=limit), seed)
    tally.count(held, best, held.settled_peak_w / limit - 1, best.peak_w <= limit)


def _count_auto(tally: Auto, plant: Plant, seed: int) -> None:
    """A phone's body takes minutes for everything, so it is given more of them."""
    seconds = SECONDS if plant.cliff is None else PHONE_SECONDS
    plant = replace(plant, stuck_after_s=200.0) if seed % 10 == 9 else plant
    firmware = _constant(plant, plant.cores, seconds).sustained_tok_s
    helped = _governed(plant, Targets(), seed, seconds=seconds).sustained_tok_s
    tally.gains.append(helped / firmware)
    tally.kept.append(firmware / plant.speed(plant.cores))
    tally.possible.append(_held_for_ever(plant) / firmware)


def _held_for_ever(plant: Plant) -> float:
    """Tokens a second at the mean power that keeps a phone at its cliff, were all of it known."""
    if plant.cliff is None:
        return plant.speed(plant.cores)
    speeds = {n: plant.speed(n) for n in range(1, plant.cores + 1)}
    steps = ladder(speeds, plant.power, keep_threads=True, asleep=plant.clocks[0])
    cliff = plant.profile.limits.soft_c
    assert cliff is not None
    watts = (cliff - plant.ambient) / plant.nodes[1].r
    vertices = [steps[i] for i in hull(steps)]
    return plant.speed(plant.cores) * speed_at(vertices, watts / steps[0].watts)


if __name__ == "__main__":
    main()
