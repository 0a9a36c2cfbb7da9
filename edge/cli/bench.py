"""edge bench: prompts, generation or embeddings in tokens a second, beside the memory's speed; a
graph in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import arrays, bench_graph, compare, limits, machine, opening, quantities, show, sustained
from .memory import peak_rss
from .progress import Progress
from .usage import UsageError, number, whole, whole_list

if TYPE_CHECKING:
    from edge.devices.activity import Activity
    from edge.devices.monitor import Monitor
    from edge.runtime.encoder import Encoder
    from edge.runtime.model import Model

PROMPT, GENERATED, EMBEDDED = [512], [128], [32, 128]  # tokens, if nothing else is asked for
SENTENCES = 20  # embedded one after the other in a repetition: one alone is too short to time
SAMPLE_S = 0.25  # ten samples, the least for an average of watts, in two and a half seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    add = parser.add_argument
    add("-p", "--n-prompt", type=whole_list(0), metavar="N,...",
        help="tokens of the prompt, 512 if not given; 0: no such test; of an encoder tokens of a "
        "text, 32,128 if not given")  # fmt: skip
    add("-n", "--n-gen", type=whole_list(0), metavar="N,...",
        help="tokens to generate, 128 if not given; 0: no such test")  # fmt: skip
    add("-t", "--threads", type=whole_list(1), metavar="N,...",
        help="numbers of threads; all usable cores, or the big ones, if not given")  # fmt: skip
    add("-r", "--repetitions", type=whole(1), default=3, metavar="N", help="3 if not given")
    opening.add_kv(parser)
    add("--sustained", type=number(0, above=True), metavar="MINUTES",
        help="generate for so long instead: the first minute against the last, and a chart")  # fmt: skip
    limits.add_limits(parser)
    arrays.add_inputs(parser)
    add("--size", metavar="NAME=N", action="append", default=[], dest="sizes",
        help="of a dimension of a graph's inputs, where these are drawn at random; 1 if not given")  # fmt: skip
    add("--compare", metavar="FILE", help="a document of --json to compare with")
    add("--json", action="store_true", help="one JSON document")


@dataclass
class Row:
    """One test with one number of threads; `kind` is pp, tg or embed."""

    kind: str
    tokens: int
    threads: int
    tok_s: list[float] = field(default_factory=list)
    joules: list[float | None] = field(default_factory=list)  # per repetition
    peak_rss: int | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}{self.tokens}"

    @property
    def phase(self) -> str:
        return "decode" if self.kind == "tg" else "prefill"

    @property
    def median(self) -> float:
        return statistics.median(self.tok_s)

    @property
    def joules_per_token(self) -> float | None:
        known = [joules for joules in self.joules if joules is not None]
        tokens = self.tokens * (SENTENCES if self.kind == "embed" else 1)
        return sum(known) / len(known) / tokens if known else None


@dataclass
class Bench:
    """A model under test, with every figure taken in turns: the machine drifts between minutes."""

    model: Model | Encoder
    rows: list[Row]
    monitor: Monitor
    bandwidth: dict[int, float] = field(default_factory=dict)  # GB/s by threads, the best seen
    power: dict[str, str] = field(default_factory=dict)  # source and scope of the joules
    _running: Row | None = None
    _tokens: Counter[str] = field(default_factory=Counter)  # by phase, of runs that are over
    _decode_s: float = 0.0

    @property
    def activity(self) -> Activity:
        """What it does now, for `edge monitor` beside it; asked from another thread."""
        from edge.devices.activity import Activity

        row, tokens = self._running, Counter(self._tokens)
        phase = "idle" if row is None else row.phase
        tokens[phase] += getattr(self.model, "position", 0)  # an encoder has none
        threads = self.model.threads if row is None else row.threads
        return Activity(
            threads, 1.0, phase, tokens["prefill"], tokens["decode"], self._decode_s,
            action="edge bench: no governor",
        )  # fmt: skip

    def repeat(self, progress: Progress, repetitions: int) -> None:
        turns: list[Row | None] = [*self.rows, None]
        for row in self.rows:
            self._time(row)  # pages are mapped, buffers touched
        for repetition in range(repetitions):
            order = turns if repetition % 2 == 0 else turns[::-1]
            for i, turn in enumerate(order):
                progress(repetition * len(turns) + i, repetitions * len(turns))
                self._take(turn)

    def _take(self, row: Row | None) -> None:
        if row is None:
            self._measure_bandwidth()
            return
        self.monitor.begin(row.name)
        row.tok_s.append(self._time(row))
        energy = self.monitor.end(row.name).energy
        row.joules.append(energy.joules)
        if energy.joules is not None:
            self.power = {"source": energy.source, "scope": energy.scope}
        if row.peak_rss is None and not self.bandwidth:  # its buffer is not the model's
            row.peak_rss = peak_rss()

    def _time(self, row: Row) -> float:
        """Tokens a second of one run from an empty cache."""
        model = self.model
        ids = [i * 7919 % model.config.vocabulary for i in range(row.tokens)]
        model.team.resize(row.threads)
        self._running, started = row, time.perf_counter()
        tokens = _RUNS[row.kind](model, ids)
        seconds = time.perf_counter() - started
        self._note(row, tokens, seconds)
        return tokens / seconds

    def _note(self, row: Row, tokens: int, seconds: float) -> None:
        self._running = None
        self._tokens[row.phase] += tokens
        self._decode_s += seconds if row.phase == "decode" else 0.0

    def _measure_bandwidth(self) -> None:
        from edge.runtime.bandwidth import read_bandwidth
        from edge.runtime.libraries.choice import library

        threads = sorted({row.threads for row in self.rows})
        for count, gb_s in read_bandwidth(library(), threads).items():
            self.bandwidth[count] = max(gb_s, self.bandwidth.get(count, 0.0))


def _read(model: Any, ids: list[int]) -> int:
    model.rewind(0)
    model.forward(ids)
    return len(ids)


def _generate(model: Any, ids: list[int]) -> int:
    model.rewind(0)
    for token in ids:
        model.forward([token])
    return len(ids)


def _embed(model: Any, ids: list[int]) -> int:
    for _ in range(SENTENCES):
        model.embed([ids])
    return SENTENCES * len(ids)


_RUNS = {"pp": _read, "tg": _generate, "embed": _embed}  # each returns the tokens it ran


def command(args: argparse.Namespace) -> int:
    from edge.devices.monitor import Monitor
    from edge.devices.placement import Placement
    from edge.devices.root import Root
    from edge.devices.sample import Sensors
    from edge.devices.status import Publisher
    from edge.opening import opened
    from edge.runtime.model import usable_cores

    if not any([*(args.n_prompt or PROMPT), *(args.n_gen or GENERATED)]):
        raise UsageError("-p 0 -n 0 leaves nothing to measure; see edge bench --help")
    kind = opened(args.model).document["kind"]
    if args.sustained and kind != "graph":
        return sustained.command(args)
    big = Placement.find(Root(), None)
    threads = args.threads or [big.count if big else usable_cores()]
    if kind == "graph":
        return bench_graph.command(args, threads)
    earlier = None if args.compare is None else compare.read(args.compare)
    tests = _tests(args, kind)
    rows = [Row(kind, tokens, count) for kind, tokens in tests for count in threads]
    if not rows:
        raise UsageError("-p 0 leaves nothing of an encoder to measure; see edge bench --help")
    with _opened(args, rows) as model, Progress("measuring") as progress:
        # Asking Termux for the battery starts an app, which takes time and power itself.
        with Monitor(SAMPLE_S, sensors=Sensors.of().without("termux")) as monitor:
            bench = Bench(model, rows, monitor)
            with closing(Publisher(model.file.path.stem)) as publisher:
                monitor.observers.append(lambda sample: publisher.observe(sample, bench.activity))
                bench.repeat(progress, args.repetitions)
                monitor.observers.clear()
        progress.clear()
        document = _document(bench)
    if earlier is not None:
        document["comparison"] = compare.comparison(earlier, document)
    print(json.dumps(document) if args.json else _table(document))
    return 0


def _opened(args: argparse.Namespace, rows: list[Row]) -> AbstractContextManager[Model | Encoder]:
    threads = max(row.threads for row in rows)
    if rows[0].kind == "embed":
        return opening.open_encoder(args.model, threads=threads)
    context = max(row.tokens for row in rows)
    return opening.open_model(args.model, threads=threads, context=context, kv=args.kv)


def _tests(args: argparse.Namespace, kind: str) -> list[tuple[str, int]]:
    """(kind of test, tokens)"""
    if kind == "encoder":
        tests = [("embed", n) for n in args.n_prompt or EMBEDDED]
    else:
        prompts, generated = args.n_prompt or PROMPT, args.n_gen or GENERATED
        tests = [*(("pp", n) for n in prompts), *(("tg", n) for n in generated)]
    return [(name, tokens) for name, tokens in tests if tokens]


def _document(bench: Bench) -> dict[str, Any]:
    """The document of `edge bench --json`."""
    import edge
    from edge.runtime.footprint import bytes_per_token
    from edge.runtime.libraries.choice import library

    file = bench.model.file
    here = machine.description() | {"target": library().target.name, "edge": edge.__version__}
    here["power"] = bench.power or None
    described = show.describe(file) | {"path": str(file.path)}
    touched = bytes_per_token(file) if bench.rows[0].kind != "embed" else 0
    return {
        "machine": here,
        "model": described,
        "read_bandwidth_gb_s": {str(n): round(gb_s, 2) for n, gb_s in bench.bandwidth.items()},
        "results": [_result(row, touched, bench.bandwidth[row.threads]) for row in bench.rows],
    }


def _result(row: Row, touched: int, bandwidth: float) -> dict[str, Any]:
    """A row; only generation reads all weights once a token, only an encoder reads texts."""
    gb_s = row.median * touched / 1e9 if row.kind == "tg" else None
    texts = {"median_texts_s": round(row.median / row.tokens, 3)} if row.kind == "embed" else {}
    return {
        "test": row.name,
        "threads": row.threads,
        "tok_s": [round(value, 3) for value in row.tok_s],
        "median_tok_s": round(row.median, 3),
        **texts,
        "gb_s": None if gb_s is None else round(gb_s, 3),
        "bandwidth_share": None if gb_s is None else round(gb_s / bandwidth, 4),
        "peak_rss_bytes": row.peak_rss,
        "joules_per_token": row.joules_per_token,
    }


def _table(document: dict[str, Any]) -> str:
    """The document for people."""
    here, model = document["machine"], document["model"]
    cpu = here["cpu"] or here["architecture"]
    lines = [
        f"{model['path']}, {quantities.size(model['bytes'])}; {cpu}, {here['target']}",
        f"{'test':8}{'threads':>9}{'tok/s':>11}{'spread':>9}{'GB/s':>8}{'share':>8}{'peak':>10}{'J/tok':>8}",
    ]
    lines += [_line(result) for result in document["results"]]
    speeds = (f"{gb_s:.1f} GB/s ({n})" for n, gb_s in document["read_bandwidth_gb_s"].items())
    lines.append(f"read bandwidth by threads: {', '.join(speeds)}")
    if here["power"] is not None:
        lines.append(f"joules: {here['power']['source']}, of {here['power']['scope']}")
    return "\n".join([*lines, *compare.lines(document.get("comparison", []))])


def _line(result: dict[str, Any]) -> str:
    median, values = result["median_tok_s"], result["tok_s"]
    spread = (max(values) - min(values)) / median
    gb_s, share = result["gb_s"], result["bandwidth_share"]
    peak, joules = result["peak_rss_bytes"], result["joules_per_token"]
    texts = f"  {result['median_texts_s']:.1f} texts/s" if "median_texts_s" in result else ""
    return (
        f"{result['test']:8}{result['threads']:9}{median:11.1f}{spread:9.0%}"
        f"{'-' if gb_s is None else f'{gb_s:.1f}':>8}{'-' if share is None else f'{share:.0%}':>8}"
        f"{'-' if peak is None else quantities.size(peak):>10}"
        f"{'-' if joules is None else f'{joules:.2g}':>8}{texts}"
    )
