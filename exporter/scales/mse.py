"""The range of least squared error: OMSE's line search, then the scale that least squares give."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .search import Grid, Search, residual, squares
from .stored import stored
from .twn import twn

CUTS = np.linspace(0.02, 0.22, 11, dtype=np.float32)  # shares of the range, off each end
RATIOS = np.linspace(1.14, 0.5, 33, dtype=np.float32)  # of the largest magnitude


def mse(groups: np.ndarray, form: WeightFormat) -> Grid:
    """argmin ||W - Q(W)||^2 (Choukroun et al. 2019, arXiv:1902.06822); both ends with an offset."""
    if CODES[form.kind].levels == 3:
        return twn(groups, form)  # exact
    search = Search(groups, form, squares)
    if form.offset:
        _cut_both_ends(search)
    else:
        for ratio in RATIOS:
            search.offer_range(ratio * search.low, ratio * search.high)
    search.offer(*refit(groups, search.grid, form))
    return search.grid


def _cut_both_ends(search: Search) -> None:
    """One end at a time, the other as good as it is by then."""
    span = search.high - search.low
    for cut in CUTS:
        search.offer_range(search.low + cut * span, search.high)
    low, _ = search.ends
    low = low.copy()
    for cut in CUTS:
        search.offer_range(low, search.high - cut * span)


def refit(groups: np.ndarray, grid: Grid, form: WeightFormat) -> Grid:
    """Scales and offsets of least squares for the codes that `grid` gives."""
    scales, offsets = grid
    values = groups - residual(groups, grid, form)
    if offsets is None:
        gain = _ratio(_dot(groups, values), _dot(values, values))
        return stored(scales * gain, form), None
    mean, centre = groups.mean(axis=2), values.mean(axis=2)
    values -= centre[:, :, None]
    gain = _ratio(_dot(groups, values), _dot(values, values))
    return stored(scales * gain, form), stored(mean - gain * (centre - offsets), form)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sums: np.ndarray = np.einsum("rgw,rgw->rg", a, b)
    return sums


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, 1 where all values are alike."""
    ratio: np.ndarray = np.divide(a, b, out=np.ones_like(a), where=b > 0)
    return ratio
