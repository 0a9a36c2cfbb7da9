"""A matrix rounded to 4 bits, whatever formats there are: a disturbance to measure by."""

import numpy as np

STEPS, GROUP = 15, 64  # of all matrices of a kind at once: above noise, and still additive


def rounded(matrix: np.ndarray) -> np.ndarray:
    """float32 [rows, columns] on 16 levels between a group's least and largest weight."""
    rows, columns = matrix.shape
    padded = np.pad(matrix, ((0, 0), (0, -columns % GROUP)), mode="edge")
    groups = padded.reshape(rows, -1, GROUP)
    low = groups.min(axis=2, keepdims=True)
    step = (groups.max(axis=2, keepdims=True) - low) / STEPS
    step[step == 0] = 1
    values: np.ndarray = np.rint((groups - low) / step) * step + low
    return values.reshape(rows, -1)[:, :columns]
