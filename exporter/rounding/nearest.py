"""The nearest level of a codebook: round to nearest, where levels are anywhere."""

import numpy as np

from edge.format.formats import CODEBOOK_ROWS


def nearest(groups: np.ndarray, scales: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """uint8 [rows, groups, width]; shapes as in edge.exporter.codebooks, scales not negative."""
    steps = np.where(scales == 0, np.float32(1), scales)
    on_scale = groups / steps[:, :, None]
    codes = np.zeros(groups.shape, np.uint8)
    for middle in middles(codebooks, len(groups)):
        codes += on_scale > middle[:, None, None]
    return codes


def middles(codebooks: np.ndarray, rows: int) -> np.ndarray:
    """float32 [15, rows]: between two neighbouring levels of a row's codebook."""
    halves = (codebooks[:, 1:].astype(np.float32) + codebooks[:, :-1]) / 2
    return np.ascontiguousarray(np.repeat(halves, CODEBOOK_ROWS, axis=0)[:rows].T)
