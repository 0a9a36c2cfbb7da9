"""Scales as a file stores them: float16 for small groups, float32 for rows and large ones."""

import numpy as np

from edge.format.formats import WeightFormat

LARGEST = np.float32(np.finfo(np.float16).max)
SMALLEST_NORMAL = np.float32(np.finfo(np.float16).smallest_normal)


def stored(values: np.ndarray, form: WeightFormat) -> np.ndarray:
    """float32 values that the format's scale type holds exactly.

    Of formats of two levels, as they are: two_level.py finds out what can be stored.
    """
    if form.scale_type.itemsize == 4 or form.multiplier_columns:
        return values.astype(np.float32)
    return half(values)


def half(values: np.ndarray) -> np.ndarray:
    """float32 values that float16 holds exactly.

    Those beyond float16 become its largest.  Below its smallest normal number, where its steps
    are coarse, they are rounded away from 0: the grid reaches all weights of a group, and no
    group of small weights becomes 0.
    """
    rounded = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
    wide: np.ndarray = rounded.astype(np.float32)
    short = (np.abs(values) < SMALLEST_NORMAL) & (np.abs(wide) < np.abs(values))
    wide[short] = np.nextafter(rounded[short], np.sign(values[short]).astype(np.float16))
    return wide
