"""One element of the output from one of each input."""

import numpy as np

from .registry import op


@op("Add")
def add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sums: np.ndarray = a + b
    return sums


@op("Relu")
def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, x.dtype.type(0))
