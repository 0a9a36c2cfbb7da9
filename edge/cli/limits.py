"""Flags that bound heat, power and battery, and the cores that are worth using."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from .usage import number

if TYPE_CHECKING:
    from edge.devices.policy import Targets


def add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--max-temp", type=number(20, 110), metavar="C", help="stay below so many degrees Celsius")
    add("--max-watts", type=number(0, above=True), metavar="W", help="stay below so many watts")
    add("--battery-floor", type=number(0, 100), metavar="PERCENT",
        help="begin nothing new with less in the battery")  # fmt: skip
    add("--eco", action="store_true", help="the fewest threads that give 95 %% of the speed")


def targets(args: argparse.Namespace) -> Targets:
    from edge.devices.policy import Targets

    return Targets(args.max_temp, args.max_watts, args.battery_floor, args.eco)


def big_cores() -> int | None:
    """Keep this process on the big cores where there are little ones: their number; None otherwise.

    Where the system ignores that, all usable cores are used as everywhere.
    """
    from edge.devices.root import Root
    from edge.devices.topology import big_cores, clusters, stay_on

    kinds = clusters(Root())
    big, every = big_cores(kinds), sum(len(kind.cpus) for kind in kinds)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    if not big or len(big) == every or not usable >= set(big):
        return None
    return len(big) if stay_on(big) is None else None
