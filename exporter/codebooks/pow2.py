"""Powers of two: products that a shift can do."""

import numpy as np

from edge.format.formats import WeightFormat

from .fixed import for_rows

POWERS = 2 ** np.arange(7)  # up to 64: int8
LEVELS = np.concatenate([-POWERS, [0], POWERS]).astype(np.int8)
SCALES = -24, 9  # exponents: float16's smallest, and 2**15 / 64


def pow2(
    groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """0 and +-2**n2 .. +-2**n1, n1 = floor(log2(4 s / 3)), s = max|w| (INQ, arXiv:1702.03044).

    Only their grid: weights that stay floats for a while belong to training.
    """
    largest = np.abs(groups).max(axis=2)
    with np.errstate(divide="ignore"):
        n1 = np.floor(np.log2(largest * np.float32(4 / 3)))
    exponents = np.clip(n1 - np.log2(POWERS[-1]), *SCALES)
    scales = np.where(largest > 0, np.exp2(exponents), 0).astype(np.float32)
    return scales, for_rows(LEVELS, len(groups))
