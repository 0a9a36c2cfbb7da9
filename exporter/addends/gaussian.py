"""Weights that a normal distribution hardly holds: what GOBO's centroids are not for."""

import numpy as np

from ..codebooks.gobo import outliers


def gaussian(matrix: np.ndarray, inputs: np.ndarray | None) -> np.ndarray:
    """bool [rows, columns] (Zadeh et al. 2020, arXiv:2005.03842)."""
    return outliers(matrix)
