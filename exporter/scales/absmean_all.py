"""The mean magnitude of a whole matrix: BitNet b1's scale of binary weights."""

import numpy as np

from edge.format.formats import WeightFormat

from .stored import stored


def absmean_all(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, None]:
    """beta = mean|W| over all rows (arXiv:2310.11453, eq. 12)."""
    beta = np.abs(groups).mean(dtype=np.float64)
    return stored(np.full(groups.shape[:2], beta, np.float32), form), None
