"""Scales as a file stores them: float16 for small groups, float32 for rows and large ones."""

import numpy as np

from edge.format.formats import WeightFormat

LARGEST = np.float32(np.finfo(np.float16).max)
SMALLEST_NORMAL = np.float32(np.finfo(np.float16).smallest_normal)


def stored(values: np.ndarray, form: WeightFormat) -> np.ndarray:
    """float32 values that the format's scale type holds exactly.

    Values beyond float16 become its largest.  Below its smallest normal number, where its steps
    are coarse, they are rounded away from 0: the grid reaches all weights of a group, and no
    group of small weights becomes 0.
    """
    if form.scale_type.itemsize == 4:
        return values.astype(np.float32)
    half = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
    rounded: np.ndarray = half.astype(np.float32)
    short = (np.abs(values) < SMALLEST_NORMAL) & (np.abs(rounded) < np.abs(values))
    rounded[short] = np.nextafter(half[short], np.sign(values[short]).astype(np.float16))
    return rounded
