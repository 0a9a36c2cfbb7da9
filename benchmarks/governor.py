"""Policies against simulated devices: tokens in half an hour, heat, joules a token.

python benchmarks/governor.py [--seeds 200]

Writes benchmarks/GOVERNOR.md.  Everything in it is the output of devices/simulator.py, in virtual time:
no figure was measured on a board.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from edge.devices.governor import Governor
from edge.devices.policy import Targets
from edge.devices.profile import profiles
from edge.devices.setting import Setting
from edge.devices.simulator import Constant, Outcome, Plant, Simulation, best_constant, plants

SECONDS = 1800.0
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="varied devices of each kind")
    seeds = parser.parse_args().seeds
    text = HEAD.format(command=f"python benchmarks/governor.py --seeds {seeds}")
    for name, plant in _rooms():
        for policy, outcome in _policies(plant):
            text += _row(name, policy, outcome)
            print(_row(name, policy, outcome), end="", flush=True)
    text += CLOSING + _varied(seeds)
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
    yield f"best constant for {target:.0f}", best_constant(plant, target, SECONDS)


def _constant(plant: Plant, threads: int) -> Outcome:
    return Simulation(plant, Constant(Setting(threads), plant)).run(SECONDS)


class Cap:
    """A clock that may be set; the simulation reads the governor's setting."""

    def set(self, share: float) -> None:
        return None


def _governed(plant: Plant, targets: Targets, seed: int = 0, clock: bool = False) -> Outcome:
    cap = Cap() if clock else None
    governor = Governor(plant.profile, plant.cores, targets, clocks=plant.clocks, cap=cap)
    return Simulation(plant, governor, seed).run(SECONDS)


def _row(name: str, policy: str, out: Outcome) -> str:
    return (
        f"| {name} | {policy} | {out.tokens:,.0f} | {out.sustained_tok_s:.2f} "
        f"| {out.joules_per_token:.3f} | {out.peak_c:.1f} | {out.throttled_s / 60:.1f} "
        f"| {len(out.changes)} |\n"
    )


@dataclass
class Tally:
    """What varied devices of one kind came to."""

    over_k: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)  # of the best constant setting's
    stuck_tokens: list[float] = field(default_factory=list)
    apart_s: list[float] = field(default_factory=list)
    auto: list[float] = field(default_factory=list)  # of the firmware's, tok/s at the end
    hot: int = 0  # no setting keeps the target

    def row(self, name: str) -> str:
        stuck = f"{min(self.stuck_tokens):.2f}" if self.stuck_tokens else "-"
        fallen = [ratio for ratio in self.auto if ratio > 1.01]
        gain = f"{len(fallen)}, {statistics.median(fallen):.2f}x" if fallen else "0"
        return (
            f"| {name} | {max(self.over_k):+.1f} | {min(self.tokens):.2f} / "
            f"{statistics.median(self.tokens):.2f} | {stuck} | {min(self.apart_s):.0f} "
            f"| {self.hot} | {min(self.auto):.3f} | {gain} |\n"
        )


def _varied(seeds: int) -> str:
    text = f"""
## {seeds} varied devices of each kind

Thermal parameters and power ± 30 %, room 5 to 40 °C, share of memory 45 to 85 %, sensor 0 to 3 s late, in
steps of 0.55 K, some with dropouts; every tenth sensor is stuck from 200 s on. Watts are only read where the
device measures them. "Over the target" is the highest temperature after ten minutes; tokens are those of half an
hour relative to the best constant setting; devices in rooms where no setting keeps the target are counted as
"too hot" and left out of the first three columns.

| device | over the target, K | tokens / best constant: least / median | least with a stuck sensor | s between changes | too hot | auto / firmware: least | auto faster on, median |
|---|---|---|---|---|---|---|---|
"""
    for plant in plants(profiles()):
        tally = Tally()
        for seed in range(seeds):
            _count(tally, plant.varied(seed), seed)
        text += tally.row(plant.profile.name)
        print(tally.row(plant.profile.name), end="", flush=True)
    return text


def _count(tally: Tally, plant: Plant, seed: int) -> None:
    stuck = seed % 10 == 9
    plant = replace(plant, stuck_after_s=200.0) if stuck else plant
    firmware, auto = _constant(plant, plant.cores), _governed(plant, Targets(), seed)
    tally.auto.append(auto.sustained_tok_s / firmware.sustained_tok_s)
    target = plant.profile.limits.target_c
    assert target is not None
    best = best_constant(plant, target, SECONDS)
    held = _governed(plant, Targets(max_temp_c=target), seed)
    later = [t for t in held.changes if t > 30]  # before, the thread knee is looked for
    tally.apart_s += [b - a for a, b in pairwise(later)]
    if best.peak_c > target:
        tally.hot += 1
        return
    tally.over_k.append(held.settled_peak_c - target)
    (tally.stuck_tokens if stuck else tally.tokens).append(held.tokens / best.tokens)


if __name__ == "__main__":
    main()
