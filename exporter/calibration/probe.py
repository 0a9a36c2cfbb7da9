"""A matrix rounded to few bits, whatever formats there are: a disturbance to measure by."""

import numpy as np

LEVELS, GROUP = 7, 64  # 3 bits: what it does is above a model's own noise


def rounded(matrix: np.ndarray) -> np.ndarray:
    """float32 [rows, columns] on 8 levels between a group's least and largest weight."""
    rows, columns = matrix.shape
    padded = np.pad(matrix, ((0, 0), (0, -columns % GROUP)), mode="edge")
    groups = padded.reshape(rows, -1, GROUP)
    low = groups.min(axis=2, keepdims=True)
    step = (groups.max(axis=2, keepdims=True) - low) / LEVELS
    step[step == 0] = 1
    values: np.ndarray = np.rint((groups - low) / step) * step + low
    return values.reshape(rows, -1)[:, :columns]
