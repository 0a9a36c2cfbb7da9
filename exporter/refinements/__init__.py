"""What is done to a matrix after it was rounded: one method per file."""

from typing import Protocol

import numpy as np

from edge.format.formats import QuantizedTensor

from ..registry import OFFSET, SYMMETRIC, Entry, find
from .quantease import quantease


class Refinement(Protocol):
    def __call__(
        self, matrix: np.ndarray, tensor: QuantizedTensor, h: np.ndarray, /
    ) -> QuantizedTensor:
        """A better tensor of the same format.

        matrix  float32 [rows, columns]; h  float64 [columns, columns], second moments of its input
        """


REFINEMENTS = {
    "quantease": Entry(
        "refinement",
        quantease,
        "sweeps over codes and scales for what lowers the output's error; needs --calib.",
        suits=(OFFSET, SYMMETRIC),
        needs_data=True,
    ),
}


def refinement(name: str) -> Refinement:
    return find(name).call
