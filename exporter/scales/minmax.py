"""The smallest and the largest weight of a group are the first and the last code."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .stored import stored


def minmax(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, np.ndarray]:
    """m = min w, d = (max w - m) / (2**b - 1), as Q4_1 in ggml; d goes by m as it is stored."""
    m = stored(groups.min(axis=2), form)
    span = np.maximum(groups.max(axis=2) - m, 0)
    return stored(span / np.float32(CODES[form.kind].levels - 1), form), m
