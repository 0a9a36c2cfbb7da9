"""The page itself: what was made, how far it is from its source, and what to be careful of."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path

from edge.format.spec import TensorInfo

from ..cautions import kind_of
from ..report import ExportReport
from . import svg
from .evidence import Evidence, Histogram
from .style import CSS
from .svg import Bar

PARTS = ("attention", "feed_forward")


def write(path: Path, evidence: Evidence) -> None:
    """Replaces what was there once all is written.  Raises OSError."""
    save(path, html(evidence))


def save(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def html(e: Evidence) -> str:
    parts = [
        _head(e),
        cautions(e.report.cautions),
        _quality(e),
        _bytes(e),
        _errors(e),
        _predicted(e),
        histograms(e.histograms),
        _fallen(e),
        every_tensor(e.report.tensors),
    ]
    return page(f"{e.report.output.name}: {e.report.recipe}", parts)


def page(title: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "".join(parts)
        + "</main>\n</body>\n</html>\n"
    )


def size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} GB"


def _head(e: Evidence) -> str:
    how = f", calibrated on {e.calibration} windows of text" if e.calibration is not None else ""
    return head(e.report, e.parameters, e.source, e.digest, how)


def head(report: ExportReport, parameters: int, source: str, digest: str, how: str) -> str:
    cards = [
        (size(report.bytes), "of file"),
        (f"{report.bits_per_weight:.2f}", "bits a weight"),
        (f"{parameters / 1e6:,.1f} M", "weights"),
        (f"{report.seconds:,.0f} s", "export"),
    ]
    shown = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(what)}</span></div>\n'
        for value, what in cards
    )
    origin = f"from {source} (sha256 {digest[:16]}…), recipe {report.recipe}{how}"
    return (
        f"<h1>{escape(report.output.name)}</h1>\n"
        f'<p class="soft">{escape(origin)}</p>\n<div class="cards">\n{shown}</div>\n'
    )


def cautions(texts: Sequence[str]) -> str:
    if not texts:
        return ""
    items = "".join(f"<li>{escape(text)}</li>\n" for text in texts)
    return f'<div class="warnings"><strong>Be careful</strong><ul>\n{items}</ul></div>\n'


def section(title: str, words: str, body: str) -> str:
    caption = f"<figcaption>{words}</figcaption>\n" if words else ""
    return f"<h2>{escape(title)}</h2>\n<figure>\n{caption}{body}</figure>\n"


def _quality(e: Evidence) -> str:
    q = e.quality
    if q is None:
        return ""
    rows = [
        ("KL divergence", f"{q.kl_mean:.4f} ± {q.kl_standard_error:.4f} nats a token"),
        ("same likeliest token", f"{q.top1_agreement:.1%} ± {q.top1_standard_error:.1%}"),
        ("perplexity of the text", f"{q.perplexity:.2f}"),
    ]
    body = "".join(f'<tr><td>{name}</td><td class="n">{text}</td></tr>\n' for name, text in rows)
    words = (
        f"The file run on {q.tokens} positions of {q.windows} windows of the calibration text that "
        "no method has chosen by, beside the float model. Another kind of text may do worse: "
        "<code>edge eval</code> takes several."
    )
    return section("Against the float model", words, f"<table>\n{body}</table>\n")


def _bytes(e: Evidence) -> str:
    stored = [t for t in e.report.tensors if t.format != "bytes"]
    kinds: dict[str, list[TensorInfo]] = {}
    for tensor in stored:
        kinds.setdefault(kind_of(tensor.name), []).append(tensor)
    items = [
        Bar(kind, total, size(total), f"{kind}: {len(some)} x {some[0].format}, {size(total)}")
        for kind, some in kinds.items()
        if (total := sum(t.nbytes for t in some)) > e.report.bytes / 1000
    ]
    items.sort(key=lambda bar: -bar.value)
    by_kind = section("Bytes by kind", "", svg.bars(items, "bytes of each kind of tensor"))
    layers = _layers(stored)
    if not layers:
        return by_kind
    stacks = [(str(layer), _stack(some)) for layer, some in layers.items()]
    most = max(sum(bar.value for bar in stack) for _, stack in stacks)
    key = _key(("attention", "feed-forward", "norms"))
    drawn = svg.columns(stacks, size(most), "bytes of each layer")
    return by_kind + section("Bytes by layer", key, drawn)


def _layers(tensors: Iterable[TensorInfo]) -> dict[int, list[TensorInfo]]:
    found: dict[int, list[TensorInfo]] = {}
    for tensor in tensors:
        parts = tensor.name.split(".")
        if parts[0] == "layers" and len(parts) > 2 and parts[1].isdigit():
            found.setdefault(int(parts[1]), []).append(tensor)
    return dict(sorted(found.items()))


def _stack(tensors: Iterable[TensorInfo]) -> list[Bar]:
    totals = dict.fromkeys((*PARTS, "norms"), 0)
    for tensor in tensors:
        part = kind_of(tensor.name).partition(".")[0]
        totals[part if part in PARTS else "norms"] += tensor.nbytes
    return [Bar(part, total, size(total)) for part, total in totals.items()]


def _key(names: Iterable[str]) -> str:
    marks = (f'<i class="series{i}"></i>{escape(name)}' for i, name in enumerate(names))
    return f'<span class="key">{"".join(marks)}</span>'


def _errors(e: Evidence) -> str:
    layers = _layers(t for t in e.report.tensors if t.error)
    kinds = list(dict.fromkeys(kind_of(t.name) for some in layers.values() for t in some))
    if not kinds:
        return section("Error", "Every matrix is stored exactly as the source has it.", "")
    names = list(layers)
    values = {
        (kinds.index(kind_of(t.name)), names.index(layer)): t.error or 0.0
        for layer, some in layers.items()
        for t in some
    }
    words = (
        "‖W − Q(W)‖ / ‖W‖ of every matrix, by layer; the darkest is "
        f"{max(values.values()):.2%}. Methods that look at inputs let this grow on purpose: they "
        "lower the error of outputs."
    )
    drawn = svg.heat(kinds, [str(n) for n in names], values, "relative error by kind and layer")
    return section("Error by layer", words, drawn)


def _predicted(e: Evidence) -> str:
    measured: dict[tuple[str, str], list[float]] = {}
    for tensor in e.report.tensors:
        key = (kind_of(tensor.name), tensor.format)
        measured.setdefault(key, []).append(tensor.error or 0.0)
    pairs = [
        (f"{c.name} ({c.format})", c.error, sum(found) / len(found))
        for c in e.plan.classes
        if c.error and (found := measured.get((c.name, c.format)))
    ]
    if not pairs:
        return ""
    body = svg.points(pairs, ("predicted", "measured"), "predicted and measured error by kind")
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{x:.2%}</td><td class="n">{y:.2%}</td></tr>\n'
        for name, x, y in pairs
    )
    table = (
        '<table><tr><th>kind</th><th class="n">predicted</th><th class="n">measured</th></tr>\n'
        f"{rows}</table>\n"
    )
    words = (
        "Predicted from a sample of rows before the export, by the method without data: points "
        "above the line moved further than that, which AWQ and GPTQ do. Bytes: "
        f"{size(e.plan.bytes)} predicted; time: {e.plan.seconds.total:,.0f} s estimated, "
        f"{e.report.seconds:,.0f} s measured."
    )
    return section("Predicted and measured", words, f'<div class="pair">{body}{table}</div>')


def histograms(found: Sequence[Histogram]) -> str:
    if not found:
        return ""
    drawn = "".join(
        f"<div><h3>{escape(h.name)}</h3>"
        f'<p class="soft">{escape(h.why)}, error {h.error:.2%}</p>'
        + svg.histograms(h.before, h.after, h.ends, f"weights of {h.name}")
        + "</div>\n"
        for h in found
    )
    words = (
        _key(("before", "after"))
        + "<br>Heights are square roots of counts; the outermost bars hold what lies beyond."
    )
    return section("Weights before and after", words, f'<div class="pair">{drawn}</div>\n')


def _fallen(e: Evidence) -> str:
    if not e.fallen:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(method)}</td></tr>\n" for name, method in e.fallen
    )
    words = "On tokens that no method had chosen by, these matrices did better without data."
    table = f"<table><tr><th>matrix</th><th>stored by</th></tr>\n{rows}</table>\n"
    return section("Where data did not help", words, table)


def every_tensor(tensors: Iterable[TensorInfo]) -> str:
    rows = "".join(
        f"<tr><td>{escape(t.name)}</td><td>{escape(t.format)}</td>"
        f'<td class="n">{" x ".join(map(str, t.shape))}</td><td class="n">{size(t.nbytes)}</td>'
        f'<td class="n">{"" if t.error is None else f"{t.error:.3%}"}</td></tr>\n'
        for t in tensors
    )
    return (
        "<details><summary>Every tensor</summary>\n<figure><table><tr><th>name</th><th>format</th>"
        '<th class="n">shape</th><th class="n">bytes</th><th class="n">error</th></tr>\n'
        f"{rows}</table></figure></details>\n"
    )
