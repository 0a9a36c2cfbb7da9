"""The range of least output error: AWQ's clipping search, a group by itself."""

import numpy as np

from edge.format.formats import WeightFormat

from .search import Cost, Grid, Search

CUTS = np.linspace(0.04, 0.32, 8, dtype=np.float32)  # shares of the range, off each end
DAMP = 0.01


def clip(groups: np.ndarray, form: WeightFormat, h: np.ndarray) -> Grid:
    """argmin of tr(D_g H_gg D_g^T) over the ranges of each group g; h as in layer_error.py.

    What other groups' errors do at the same outputs is left to GPTQ.
    """
    search = Search(groups, form, _cost(h, *groups.shape[1:]))
    span = search.high - search.low
    for cut in CUTS:
        if form.offset:
            search.offer_range(search.low + cut / 2 * span, search.high - cut / 2 * span)
        else:
            search.offer_range((1 - cut) * search.low, (1 - cut) * search.high)
    if form.offset:
        for low, high in ((0.06, 0), (0, 0.06), (0.12, 0), (0, 0.12), (0.2, 0.06), (0.06, 0.2)):
            search.offer_range(
                search.low + np.float32(low) * span, search.high - np.float32(high) * span
            )
    return search.grid


def _cost(h: np.ndarray, groups: int, width: int) -> Cost:
    roots = np.zeros((groups, width, width), np.float32)
    for g in range(groups):
        part = h[g * width : (g + 1) * width, g * width : (g + 1) * width].astype(np.float64)
        n = len(part)
        part[np.diag_indices(n)] += DAMP * (np.trace(part) / n or 1.0)
        roots[g, :n, :n] = np.linalg.cholesky(part)

    def cost(residuals: np.ndarray) -> np.ndarray:
        moved = residuals.transpose(1, 0, 2) @ roots  # [groups, rows, width]
        sums: np.ndarray = np.einsum("grw,grw->rg", moved, moved)
        return sums

    return cost
