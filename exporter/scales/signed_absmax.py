"""The weight of the largest magnitude is the code of the largest magnitude, whatever its sign."""

import numpy as np

from edge.format.formats import WeightFormat

from .stored import stored


def signed_absmax(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, None]:
    """d = w_max / -2**(b-1), as Q4_0 in ggml: all levels are in use, d may be negative.

    A grid -8..7 has one level more on one side; absmax would leave it unused.
    """
    low, high = groups.min(axis=2), groups.max(axis=2)
    extreme = np.where(-low > high, low, high)
    return stored(extreme / np.float32(-form.zero), form), None
