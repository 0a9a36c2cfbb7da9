"""edge monitor: power, temperature, clocks, throttling, and what edge processes do, as it is now."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .terminal import is_terminal, note
from .usage import number

if TYPE_CHECKING:
    from edge.devices.device import Device
    from edge.devices.monitor import Monitor
    from edge.devices.rows import Rows
    from edge.devices.status import Status

INTERVAL_S = 1.0
HOME_AND_CLEAR = "\x1b[H\x1b[J"
NOTHING = "no sensor can be read here (source: none); edge doctor says why"

Writer = Callable[[dict[str, Any]], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--interval", type=number(0.05, 60), default=INTERVAL_S, metavar="S",
        help=f"seconds between samples, {INTERVAL_S:g} if not given")  # fmt: skip
    add("--csv", metavar="FILE", help="write a row a sample")
    add("--jsonl", metavar="FILE", help="write an object a sample")
    add("--prometheus", action="store_true",
        help="two samples, then the metrics in Prometheus' text format")  # fmt: skip
    add("--json", action="store_true", help="two samples, then one JSON document")


def command(args: argparse.Namespace) -> int:
    from edge.devices.device import detect
    from edge.devices.monitor import Monitor
    from edge.devices.root import Root
    from edge.devices.sample import Sensors
    from edge.devices.status import statuses

    root = Root()
    device = detect(root)
    monitor = Monitor(args.interval, sensors=Sensors.of(device, root))
    if args.prometheus or args.json:
        _once(monitor, device, as_json=args.json)
        return 0
    if not monitor.sensors.found and not statuses(time.time()):
        note(NOTHING)
        return 0
    try:
        _watch(monitor, device, args)
    except KeyboardInterrupt:  # the way to leave
        pass
    return 0


def _once(monitor: Monitor, device: Device, as_json: bool) -> None:
    """Counters need two samples to become watts."""
    from edge.devices.exposition import exposition
    from edge.devices.rows import Rows, heading

    rows = Rows()
    row, processes = _taken(monitor, rows)
    if monitor.sensors.found:
        time.sleep(monitor.interval)
        row, processes = _taken(monitor, rows)
    if as_json:
        absent = {missing.name: missing.reason for missing in monitor.sensors.missing}
        telling = [status.to_json() for status in processes]
        print(json.dumps(heading(device) | {"now": row, "processes": telling, "absent": absent}))
    else:
        sample = monitor.history[-1][0]
        print(exposition(sample, monitor.sensors, row["power_w"], processes), end="")


def _watch(monitor: Monitor, device: Device, args: argparse.Namespace) -> None:
    from edge.devices.rows import Rows

    from .screen import Screen

    rows, screen = Rows(), Screen(device, monitor.sensors)
    with _writers(args, device) as writers:
        while True:
            row, processes = _taken(monitor, rows)
            for write in writers:
                write(row)
            if is_terminal(sys.stdout):
                print(HOME_AND_CLEAR + screen.draw(row, processes), end="", flush=True)
            time.sleep(monitor.interval)


@contextmanager
def _writers(args: argparse.Namespace, device: Device) -> Iterator[list[Writer]]:
    """Files that were asked for; without one, and without a terminal, rows go to stdout."""
    from edge.devices.rows import CsvFile, JsonLines

    with ExitStack() as stack:
        writers: list[Writer] = []
        if args.csv:
            file = stack.enter_context(open(args.csv, "w", encoding="utf-8", newline=""))
            writers.append(CsvFile(file, device).write)
        if args.jsonl:
            file = stack.enter_context(open(args.jsonl, "w", encoding="utf-8"))
            writers.append(JsonLines(file, device).write)
        if not writers and not is_terminal(sys.stdout):
            writers.append(CsvFile(sys.stdout, device).write)
        yield writers


def _taken(monitor: Monitor, rows: Rows) -> tuple[dict[str, Any], list[Status]]:
    """A row of now, with what the edge process at work tells; and what all of them tell."""
    from edge.devices.status import statuses

    sample = monitor.sample()
    processes = statuses(sample.unix)
    return rows.row(sample, status=processes[0] if processes else None), processes
