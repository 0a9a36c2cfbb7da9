"""The clipping whose histogram, as the codes see it, diverges least from the weights'."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .search import Grid, grid_over

PARTS = 16  # bins of the histogram a code
LEAST = 8  # of them are kept


def kl(groups: np.ndarray, form: WeightFormat) -> Grid:
    """TensorRT's entropy calibration (Migacz 2017), one share of all groups' ranges for a row.

    A group has too few weights for a histogram; a row's, each as a share of its group's range,
    have enough.
    """
    low, high = groups.min(axis=2), groups.max(axis=2)
    middle = (low + high) / 2 if form.offset else np.zeros_like(low)
    reach = np.maximum(high - middle, middle - low)
    counts = _histogram(groups - middle[:, :, None], reach, max(1, CODES[form.kind].levels // 2))
    share = _shares(counts)
    return grid_over(
        np.maximum(low, middle - share * reach), np.minimum(high, middle + share * reach), form
    )


def _histogram(centred: np.ndarray, reach: np.ndarray, codes: int) -> np.ndarray:
    """float64 [rows, codes, PARTS]: magnitudes from 0 to a group's largest."""
    rows, bins = len(centred), codes * PARTS
    width = np.where(reach == 0, 1, reach)[:, :, None] / bins
    at = np.minimum(np.abs(centred) / width, bins - 1).astype(np.int64).reshape(rows, -1)
    at += bins * np.arange(rows)[:, None]
    return np.bincount(at.ravel(), minlength=rows * bins).reshape(rows, codes, PARTS).astype(float)


def _shares(counts: np.ndarray) -> np.ndarray:
    """float32 [rows, 1]: the share of the range with the least divergence; 1 on a tie."""
    rows, codes, _ = counts.shape
    kept = np.arange(PARTS, LEAST - 1, -1)
    costs = [divergence(counts.reshape(rows, -1), codes, parts) for parts in kept.tolist()]
    best: np.ndarray = kept[np.argmin(costs, axis=0)] / np.float32(PARTS)
    return best.astype(np.float32)[:, None]


def divergence(histogram: np.ndarray, codes: int, parts: int) -> np.ndarray:
    """KL(P || Q) a row if `codes` codes of `parts` bins are kept: P has the rest in its last bin,
    Q spreads each code's share evenly over its bins that are not empty."""
    end = codes * parts
    p = histogram[:, :end].copy()
    q = p.reshape(len(p), codes, parts)
    filled = q > 0
    spread = q.sum(axis=2, keepdims=True) / np.maximum(filled.sum(axis=2, keepdims=True), 1)
    q = (spread * filled).reshape(p.shape)
    p[:, -1] += histogram[:, end:].sum(axis=1)
    p, q = p / p.sum(axis=1, keepdims=True), q / np.maximum(q.sum(axis=1, keepdims=True), 1e-30)
    terms = p * np.log(np.maximum(p, 1e-30) / np.maximum(q, 1e-12))
    sums: np.ndarray = terms.sum(axis=1)
    return sums
