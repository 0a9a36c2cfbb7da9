"""What the page shows of an export that is done, gathered while its parts are still there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edge.format.dequantized import row_blocks
from edge.format.reader import EdgeFile

from ..explain import Explanation
from ..report import ExportReport
from ..weights import Weights
from .quality import Quality

BINS = 96
SAMPLE, TAIL = 2**17, 1e-3


@dataclass(frozen=True)
class Histogram:
    """Counts of a matrix's weights in equal bins, before and after; the rest in the outermost."""

    name: str
    why: str
    error: float
    ends: tuple[float, float]
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """fallen       (matrix, what its method was left for)
    calibration  windows of text, or None
    quality      against the float model on held-out windows, or None
    """

    report: ExportReport
    source: str
    digest: str
    parameters: int
    plan: Explanation
    fallen: tuple[tuple[str, str], ...]
    calibration: int | None
    quality: Quality | None
    histograms: tuple[Histogram, ...]


def gather(
    report: ExportReport,
    weights: Weights,
    digest: str,
    plan: Explanation,
    fallen: Iterable[tuple[str, str]],
    calibration: int | None,
    quality: Quality | None,
) -> Evidence:
    return Evidence(
        report=report,
        source=weights.source.name,
        digest=digest,
        parameters=weights.model.parameters,
        plan=plan,
        fallen=tuple(fallen),
        calibration=calibration,
        quality=quality,
        histograms=tuple(histograms(report, weights.__contains__, weights.read)),
    )


def histograms(
    report: ExportReport, is_known: Callable[[str], bool], read: Callable[[str], np.ndarray]
) -> Iterable[Histogram]:
    """Of the matrix that moved most, the first and the last, of those that can be read."""
    moved = [t for t in report.tensors if len(t.shape) == 2 and t.error and is_known(t.name)]
    if not moved:
        return
    file = EdgeFile(report.output)
    some = {moved[0].name: "first"}
    some[moved[-1].name] = "last"
    worst = max(moved, key=lambda t: t.error or 0.0).name
    some[worst] = f"largest error, {some[worst]}" if worst in some else "largest error"
    errors = {t.name: t.error or 0.0 for t in moved}
    for name, why in some.items():
        source = read(name)
        ends = _ends(source)
        before, after = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        for at, stored in row_blocks(file, name):
            before += np.histogram(np.clip(source[at], *ends), BINS, ends)[0]
            after += np.histogram(np.clip(stored, *ends), BINS, ends)[0]
        yield Histogram(name, why, errors[name], ends, before, after)


def _ends(matrix: np.ndarray) -> tuple[float, float]:
    """Where all but a thousandth of the weights lie, from some of them."""
    some = matrix.ravel()[:: max(1, matrix.size // SAMPLE)]
    low, high = (float(q) for q in np.quantile(some, (TAIL / 2, 1 - TAIL / 2)))
    return (low, high) if high > low else (low - 1.0, high + 1.0)
