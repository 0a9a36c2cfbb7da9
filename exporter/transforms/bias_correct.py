"""Bias correction: what quantizing moves the mean of an output by is taken off again."""

import numpy as np

from ..calibration.statistics import Statistics
from ..weights import Weights


def bias_correct(
    weights: Weights, name: str, moved: np.ndarray, statistics: Statistics
) -> np.ndarray | None:
    """-E[(Q(W) - W) x], float32 [rows] (Banner et al. 2018, arXiv:1810.05723; DFQ).

    moved  float32 [rows, columns]: Q(W) - W

    x without the first tokens of windows: their size would decide for all the others.  None where
    on held-out tokens the mean is moved less without it.
    """
    shift = moved @ weights.inputs(name, statistics.fit(name).mean)
    held_out = moved @ weights.inputs(name, statistics.held_out(name).mean)
    if not np.square(held_out - shift).sum() < np.square(held_out).sum():
        return None
    correction: np.ndarray = -shift.astype(np.float32)
    return correction
