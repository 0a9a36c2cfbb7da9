"""edge bench of a graph: how long a run takes, by number of threads."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import arrays, machine, opening, quantities, show
from .memory import peak_rss
from .progress import Progress
from .usage import UsageError

if TYPE_CHECKING:
    from edge.graph_session import GraphSession

LEAST_S = 0.25  # of a repetition: a run alone may be too short to time
MOST_RUNS = 1000  # of a repetition


@dataclass
class Row:
    """One session; `seconds` are of a run, per repetition."""

    session: GraphSession
    threads: int
    runs: int = 1
    seconds: list[float] = field(default_factory=list)

    def time(self, feeds: dict[str, Any]) -> float:
        """Seconds of a run, on average."""
        started = time.perf_counter()
        for _ in range(self.runs):
            self.session.run(None, feeds)
        return (time.perf_counter() - started) / self.runs


def command(args: argparse.Namespace, threads: list[int]) -> int:
    if args.sustained or args.compare is not None:
        raise UsageError("--sustained and --compare are of language models; see edge bench --help")
    with ExitStack() as opened, Progress("measuring") as progress:
        sessions = [
            opened.enter_context(opening.open_unwatched_graph(args.model, n)) for n in threads
        ]
        rows = [Row(session, count) for session, count in zip(sessions, threads, strict=True)]
        feeds = _feeds(args, sessions[0])
        _measure(rows, feeds, args.repetitions, progress)
        progress.clear()
        document = _document(rows, feeds)
    print(json.dumps(document) if args.json else _table(document))
    return 0


def _feeds(args: argparse.Namespace, session: GraphSession) -> dict[str, Any]:
    """What was given, and for the other inputs random numbers."""
    feeds: dict[str, Any] = dict(arrays.given(args.inputs))
    sizes = dict(map(_size, args.sizes))
    for value in session.model.graph.inputs:
        if value.name in feeds and value.shape is not None:
            found = zip(value.shape, feeds[value.name].shape, strict=False)
            sizes |= {name: size for name, size in found if isinstance(name, str)}
    for value in session.model.graph.inputs:
        if value.name not in feeds:
            feeds[value.name] = arrays.drawn(value, sizes)
    return feeds


def _size(text: str) -> tuple[str, int]:
    name, _, size = text.rpartition("=")
    if not (name and size.isdecimal() and size.isascii()):
        raise UsageError(f"--size {text!r:.80}: expected NAME=NUMBER, as in --size batch=1")
    return name, int(size)


def _measure(rows: list[Row], feeds: dict[str, Any], repetitions: int, progress: Progress) -> None:
    """In turns: the machine drifts between minutes."""
    for row in rows:
        row.time(feeds)  # pages are mapped, buffers planned
        row.runs = min(MOST_RUNS, max(1, round(LEAST_S / max(row.time(feeds), 1e-9))))
    for repetition in range(repetitions):
        order = rows if repetition % 2 == 0 else rows[::-1]
        for i, row in enumerate(order):
            progress(repetition * len(rows) + i, repetitions * len(rows))
            row.seconds.append(row.time(feeds))


def _document(rows: list[Row], feeds: dict[str, Any]) -> dict[str, Any]:
    """The document of `edge bench --json`."""
    import edge

    file = rows[0].session.model.file
    return {
        "machine": machine.description() | {"edge": edge.__version__},
        "model": show.describe(file) | {"path": str(file.path)},
        "inputs": {name: list(array.shape) for name, array in feeds.items()},
        "results": [_result(row) for row in rows],
    }


def _result(row: Row) -> dict[str, Any]:
    median = statistics.median(row.seconds)
    return {
        "test": "run",
        "threads": row.threads,
        "seconds": [round(value, 7) for value in row.seconds],
        "median_s": round(median, 7),
        "runs_s": round(1 / median, 3),
        "peak_rss_bytes": peak_rss(),
    }


def _table(document: dict[str, Any]) -> str:
    """The document for people."""
    here, model = document["machine"], document["model"]
    inputs = ", ".join(f"{name} {shape}" for name, shape in document["inputs"].items())
    lines = [
        f"{model['path']}, {quantities.size(model['bytes'])}; {here['cpu'] or here['architecture']}",
        f"inputs: {inputs}",
        f"{'threads':>7}{'ms':>11}{'spread':>9}{'runs/s':>10}{'peak':>10}",
    ]
    return "\n".join([*lines, *map(_line, document["results"])])


def _line(result: dict[str, Any]) -> str:
    median, values, peak = result["median_s"], result["seconds"], result["peak_rss_bytes"]
    return (
        f"{result['threads']:7}{1000 * median:11.3f}{(max(values) - min(values)) / median:9.0%}"
        f"{result['runs_s']:10.1f}{'-' if peak is None else quantities.size(peak):>10}"
    )
