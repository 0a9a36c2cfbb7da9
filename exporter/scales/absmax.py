"""The largest magnitude of a group is the largest code: symmetric, 0 stays 0."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .stored import stored


def absmax(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, None]:
    """S = max|w| / q_max, q_max = 127 for int8 (Q8_0 in ggml), 7 for int4, 1 for ternary."""
    q_max = CODES[form.kind].levels - 1 - form.zero
    return stored(np.abs(groups).max(axis=2) / np.float32(q_max), form), None
