"""Sixteen centroids for every four rows, of weights as shares of their group's range."""

import numpy as np

from edge.format.formats import CODEBOOK_ROWS, WeightFormat

from ..rounding.nearest import nearest
from ..rows import row_blocks
from ..scales.stored import stored
from .fixed import LEVELS
from .lloyd import Sets, lloyd

LARGEST = np.float32(127)


def kmeans(
    groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm; errors count as they do in the weights.

    Deep Compression's weight sharing (Han et al. 2015, arXiv:1510.00149) with a scale a group.
    Centroids are rounded to int8, then scales are those of least squares.
    """
    rows, count, width = groups.shape
    scales = np.empty((rows, count), np.float32)
    codebooks = np.empty((-(-rows // CODEBOOK_ROWS), LEVELS), np.int8)
    share = np.ones((count, width), np.float32) if weights is None else weights
    for at in row_blocks(groups.shape):
        block = groups[at]
        scales[at] = stored(np.abs(block).max(axis=2) / LARGEST, form)
        books = slice(at.start // CODEBOOK_ROWS, -(-at.stop // CODEBOOK_ROWS))
        codebooks[books] = _centroids(block, scales[at], share)
        scales[at] = _refit(block, scales[at], codebooks[books], share, form)
    return scales, codebooks


def _centroids(block: np.ndarray, scales: np.ndarray, share: np.ndarray) -> np.ndarray:
    """int8 [rows / 4, 16]"""
    steps = np.where(scales == 0, np.float32(1), scales)[:, :, None]
    masses = np.square(scales)[:, :, None] * share
    sets = Sets(_by_book(block / steps), _by_book(masses))
    centroids, _ = lloyd(sets, sets.spread(LEVELS))
    levels: np.ndarray = np.clip(np.rint(centroids), -LARGEST, LARGEST).astype(np.int8)
    return levels


def _by_book(values: np.ndarray) -> np.ndarray:
    """[rows / 4, values of 4 rows]; a last one of fewer rows is filled up with zeros."""
    flat = values.reshape(len(values), -1)
    flat = np.pad(flat, ((0, -len(flat) % CODEBOOK_ROWS), (0, 0)))
    return flat.reshape(-1, CODEBOOK_ROWS * flat.shape[1])


def _refit(
    block: np.ndarray,
    scales: np.ndarray,
    codebooks: np.ndarray,
    share: np.ndarray,
    form: WeightFormat,
) -> np.ndarray:
    """argmin over scales of the weighted squared error, for the codes that `scales` give."""
    codes = nearest(block, scales, codebooks)
    book = np.arange(len(block)) // CODEBOOK_ROWS
    levels = codebooks[book[:, None, None], codes].astype(np.float32)
    dot = np.einsum("rgw,rgw,gw->rg", block, levels, share)
    size = np.einsum("rgw,rgw,gw->rg", levels, levels, share)
    better = (dot > 0) & (size > 0)
    return np.where(better, stored(dot / np.where(better, size, 1), form), scales)
