"""Codebooks that are known beforehand: a group's largest magnitude is the largest level."""

import numpy as np

from edge.format.formats import CODEBOOK_ROWS, CODES, WeightFormat

from ..scales.stored import stored

LEVELS = CODES["code4"].levels


def scaled_to(
    levels: np.ndarray, groups: np.ndarray, form: WeightFormat
) -> tuple[np.ndarray, np.ndarray]:
    """max|w| / max|level| as scale, the same int8 levels for all rows."""
    largest = np.abs(groups).max(axis=2)
    return stored(largest / np.float32(np.abs(levels).max()), form), for_rows(levels, len(groups))


def for_rows(levels: np.ndarray, rows: int) -> np.ndarray:
    """int8 [rows / 4, 16]: ascending; missing levels repeat the largest."""
    book = np.sort(levels)
    book = np.append(book, np.full(LEVELS - len(book), book[-1])).astype(np.int8)
    return np.tile(book, (-(-rows // CODEBOOK_ROWS), 1))
