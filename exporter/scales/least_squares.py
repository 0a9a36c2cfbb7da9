"""The scale that moves a group least: absmax, or one of its neighbours that fits better by luck."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .absmax import absmax
from .stored import stored

# Codes that max|w| falls short of q_max.  With 32 weights the squared error differs by a sixth
# from one scale to the next; beyond a sixteenth of q_max, coarser steps cost what luck gains.
SHORT = (-0.5, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5)


def least_squares(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, None]:
    """The S with the smallest |w - S q|**2 among max|w| / (q_max - short)."""
    q_max = CODES[form.kind].levels - 1 - form.zero
    largest = np.abs(groups).max(axis=2)
    best, _ = absmax(groups, form)
    least = _squared_error(groups, best, q_max)
    for short in SHORT:
        scales = stored(largest / np.float32(q_max - short), form)
        error = _squared_error(groups, scales, q_max)
        np.copyto(best, scales, where=error < least)
        np.minimum(least, error, out=least)
    return best, None


def _squared_error(groups: np.ndarray, scales: np.ndarray, q_max: int) -> np.ndarray:
    """float32 [rows, groups]; of weights beyond 1e19 it is infinite, and absmax stays."""
    steps = np.where(scales == 0, np.float32(1), scales)[:, :, None]
    moved = np.rint(groups / steps)
    np.clip(moved, -q_max - 1, q_max, out=moved)
    moved *= steps
    moved -= groups
    with np.errstate(over="ignore"):
        error: np.ndarray = np.einsum("rgc,rgc->rg", moved, moved)
    return error
