"""Flags that bound heat, power and battery."""

from __future__ import annotations

import argparse
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
