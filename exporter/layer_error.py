"""What quantizing a matrix does to its output, from the second moments of its input."""

import numpy as np


def output_error(difference: np.ndarray, h: np.ndarray) -> float:
    """tr(D H D^T): mean squared error of the output if H = E[x x^T].

    difference  float32 [rows, columns], Q(W) - W;  h  [columns, columns]
    """
    return float(np.einsum("rc,rc->", difference @ h.astype(np.float32), difference))
