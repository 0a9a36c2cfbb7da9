"""The page about a graph: sizes, its outputs beside the float model's, noise layer by layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..report import ExportReport
from . import svg
from .document import cautions, every_tensor, head, histograms, page, save, section, size
from .evidence import Histogram
from .evidence import histograms as gathered
from .svg import Bar

MOST = 60  # rows of a drawing: the largest, or the worst
CLEAN = 60.0  # decibels at which a bar has vanished


@dataclass(frozen=True)
class GraphEvidence:
    """calibration  a line about the data, or "" """

    report: ExportReport
    source: str
    digest: str
    parameters: int
    calibration: str
    histograms: tuple[Histogram, ...]


def gather(
    report: ExportReport,
    source: str,
    digest: str,
    parameters: int,
    calibration: str,
    weights: Mapping[str, np.ndarray],
) -> GraphEvidence:
    """`weights` of the source, by the names of tensors in the file."""
    found = gathered(report, weights.__contains__, weights.__getitem__)
    return GraphEvidence(report, source, digest, parameters, calibration, tuple(found))


def write_graph(path: Path, e: GraphEvidence) -> None:
    """Replaces what was there once all is written.  Raises OSError."""
    save(path, html(e))


def html(e: GraphEvidence) -> str:
    parts = [
        head(e.report, e.parameters, e.source, e.digest, e.calibration),
        cautions(e.report.cautions),
        _outputs(e.report.verification),
        _noise(e.report.verification),
        _errors(e.report),
        _bytes(e.report),
        histograms(e.histograms),
        _notes(e.report.notes),
        every_tensor(e.report.tensors),
    ]
    return page(f"{e.report.output.name}: {e.report.recipe}", parts)


def _outputs(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return section("Against the float model", "Nobody can draw inputs of this model.", "")
    rows = "".join(
        f'<tr><td>{escape(o["name"])}</td><td class="n">{_number(o["cosine"], ".5f")}</td>'
        f'<td class="n">{_number(o["relative_error"], ".2%")}</td>'
        f'<td class="n">{_number(o["max_error"], ".3g")}</td>'
        f'<td class="n">{_number(o["top1"], ".1%")}</td></tr>\n'
        for o in found["outputs"]
    )
    words = escape(
        f"The file run on {found['samples']} samples of {found['data']}, beside {found['against']}. "
        "Same place: how often the largest number along the last axis is where it was."
    )
    columns = ("cosine", "relative error", "largest error", "same place")
    titles = "".join(f'<th class="n">{title}</th>' for title in columns)
    return section(
        "Against the float model",
        words,
        f"<table><tr><th>output</th>{titles}</tr>\n{rows}</table>\n",
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _noise(found: Mapping[str, Any] | None) -> str:
    layers = [] if found is None else found["layers"]
    if not layers:
        return ""
    some = sorted(sorted(layers, key=lambda l: l["decibels"])[:MOST], key=layers.index)
    bars = [
        Bar(
            layer["name"],
            max(CLEAN - layer["decibels"], 0.0),
            f"{layer['decibels']:.0f} dB",
            f"{layer['name']}, {layer['format']}: signal to noise {layer['decibels']:.1f} dB",
        )
        for layer in some
    ]
    words = (
        "Signal to noise of each layer's output on what the float model feeds it, in dB: the longer a "
        "bar, the noisier (6 dB are a bit). In the order of the graph"
        + (f"; the {MOST} noisiest." if len(layers) > MOST else ".")
    )
    return section("Noise by layer", words, svg.bars(bars, "noise of each layer"))


def _errors(report: ExportReport) -> str:
    moved = [t for t in report.tensors if t.error]
    if not moved:
        return section("Error", "Every matrix is stored exactly as the source has it.", "")
    worst = sorted(moved, key=lambda t: -(t.error or 0.0))[:MOST]
    bars = [
        Bar(
            t.name.removesuffix(".weight"),
            t.error or 0.0,
            f"{t.error:.2%}",
            f"{t.name}, {t.format}",
        )
        for t in moved
        if t in worst
    ]
    words = "‖W − Q(W)‖ / ‖W‖ of matrices, in the order of the graph."
    return section("Error by layer", words, svg.bars(bars, "relative error of each matrix"))


def _bytes(report: ExportReport) -> str:
    largest = sorted(report.tensors, key=lambda t: -t.nbytes)[:MOST]
    bars = [Bar(t.name, t.nbytes, size(t.nbytes), f"{t.name}: {t.format}") for t in largest]
    return section("Bytes", "The largest tensors.", svg.bars(bars, "bytes of the largest tensors"))


def _notes(notes: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(note)}</li>\n" for note in notes)
    return section("Notes", "", f"<ul>\n{items}</ul>\n") if notes else ""
