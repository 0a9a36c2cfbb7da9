"""4-bit floats: 2 bits of exponent, 1 of mantissa."""

import numpy as np

from edge.format.formats import WeightFormat

from .fixed import scaled_to

# E2M1 (OCP Microscaling 1.0; QLoRA's FP4 but for its smallest number), times 2: exact as int8.
POSITIVE = np.array([1, 2, 3, 4, 6, 8, 12])
LEVELS = np.concatenate([-POSITIVE, [0], POSITIVE]).astype(np.int8)


def fp4(
    groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """15 levels, 0 once."""
    return scaled_to(LEVELS, groups, form)
