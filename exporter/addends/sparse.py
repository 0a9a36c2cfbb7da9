"""A few weights in a thousand that would stretch their groups' ranges."""

import numpy as np

SHARE = 0.0045  # of a matrix
SENSITIVE = 0.0005  # of it, by what they do with their inputs


def sparse(matrix: np.ndarray, inputs: np.ndarray | None) -> np.ndarray:
    """bool [rows, columns]: the largest, and the most sensitive (SqueezeLLM, arXiv:2306.07629).

    Their sensitivity is the loss's; here it is a weight's typical product with its input.
    """
    size = np.abs(matrix)
    if inputs is None:
        return _largest(size, SHARE)
    chosen = _largest(size, SHARE - SENSITIVE)
    chosen |= _largest(size * inputs, SENSITIVE)
    return chosen


def _largest(size: np.ndarray, share: float) -> np.ndarray:
    count = max(1, round(share * size.size))
    chosen = np.zeros(size.size, bool)
    chosen[np.argpartition(size.ravel(), -count)[-count:]] = True
    return chosen.reshape(size.shape)
