"""bench --sustained: minutes of generation, the first against the last, and what the device did."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import chart, limits, machine, opening, show
from .progress import Progress
from .terminal import note

if TYPE_CHECKING:
    from edge.devices.cooling import Cooling
    from edge.devices.window import Report
    from edge.runtime.model import Model
    from edge.watch import Watch

MINUTE_S = 60.0
CONTEXT = 512  # tokens; then from the beginning: the rate of a middling context


def command(args: argparse.Namespace) -> int:
    from edge.watch import Watch

    threads = max(args.threads) if args.threads else None
    settings = {"threads": threads, "context": CONTEXT, "kv": args.kv}
    with opening.open_model(args.model, **settings) as model, Progress("generating") as progress:
        watch = Watch(model, limits.targets(args), note)
        try:
            rates, report = generate(model, watch, args.sustained * MINUTE_S, progress)
        finally:
            watch.close()
        progress.clear()
        document = _document(model, watch, rates, report)
        cooling = _remember(model, watch, rates, report)
    document["sustained"]["cooling"] = cooling.verdict(watch.device.profile)
    path = Path(f"{Path(args.model).stem}-sustained.svg")
    path.write_text(chart.svg(chart.series(watch.monitor.history), _title(document)), "utf-8")
    document["sustained"]["chart"] = str(path)
    print(json.dumps(document) if args.json else _summary(document))
    return 0


def generate(
    model: Model, watch: Watch, seconds: float, progress: Progress
) -> tuple[list[float], Report]:
    """Tokens a second of each minute (the last may be a part of one), and the report on all."""
    watch.monitor.begin("sustained")
    watch.start()
    rates: list[float] = []
    started = minute = time.monotonic()
    tokens = 0
    while (now := time.monotonic()) - started < seconds:
        if now - minute >= MINUTE_S:
            rates.append(tokens / (now - minute))
            minute, tokens = now, 0
        if model.position == model.context:
            model.rewind(0)
        model.forward([model.position * 7919 % model.config.vocabulary])
        tokens += 1
        progress(now - started, seconds)
    if tokens:
        rates.append(tokens / (time.monotonic() - minute))
    watch.stop()
    return rates, watch.monitor.end("sustained")


def _remember(model: Model, watch: Watch, rates: list[float], report: Report) -> Cooling:
    """What the run says of the cooler, also for `edge doctor`."""
    from edge.devices.cooling import Coolings, learn
    from edge.runtime.libraries.cache import folder
    from edge.watch import COOLING

    slowed = None if report.throttled_s is None else sum(report.throttled_s.values())
    samples = (sample for sample, _ in watch.monitor.history)
    learned = learn(
        samples, watch.device.profile, model.file.path.stem, report.duration_s / MINUTE_S,
        (rates[0], rates[-1]), slowed,
    )  # fmt: skip
    Coolings(folder() / COOLING).remember(watch.device.profile.key, learned)
    return learned


def _document(model: Model, watch: Watch, rates: list[float], report: Report) -> dict[str, Any]:
    tokens = watch.governor.activity.decode_tokens
    described = show.describe(model.file) | {"path": str(model.file.path)}
    return {
        "machine": machine.description(),
        "model": described,
        "sustained": {
            "tok_s_by_minute": [round(rate, 3) for rate in rates],
            "first_minute_tok_s": rates[0],
            "last_minute_tok_s": rates[-1],
            "kept": rates[-1] / rates[0],
            "joules_per_token": report.energy.per(tokens),
            "governor": {
                "changes": watch.governor.activity.changes,
                "last": watch.governor.activity.action or None,
            },
            "report": report.to_json(),
        },
    }


def _title(document: dict[str, Any]) -> str:
    return (
        f"{Path(document['model']['path']).name} on {document['machine']['cpu'] or 'this machine'}"
    )


def _summary(document: dict[str, Any]) -> str:
    sustained = document["sustained"]
    report, joules = sustained["report"], sustained["joules_per_token"]
    peak, source = report["temperature"]["peak_c"], report["energy"]["source"]
    seconds = report["throttling"]["seconds"]
    told = None if seconds is None else {k: f"{s:.0f} s" for k, s in seconds.items()}
    rows = {
        "first minute": f"{sustained['first_minute_tok_s']:.2f} tok/s",
        "last minute": f"{sustained['last_minute_tok_s']:.2f} tok/s, {sustained['kept']:.0%}",
        "energy": f"source: {source}" if joules is None else f"{joules:.2g} J/tok ({source})",
        "peak": "unknown" if peak is None else f"{peak:.1f} °C",
        "throttling": "unknown" if told is None else str(told or "none"),
        "governor": sustained["governor"]["last"] or "did nothing",
        "cooling": sustained["cooling"],
        "chart": sustained["chart"],
    }
    return "\n".join(f"{name:14}{text}" for name, text in rows.items())
