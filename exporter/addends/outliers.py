"""Columns whose inputs are far beyond the others': they alone would set the activations' scale."""

import numpy as np

MOST = 16  # one column in so many, at most
WORTH = 0.75  # of the scale, price included: what is left, or it is not worth a product beside


def outliers(matrix: np.ndarray, inputs: np.ndarray | None) -> np.ndarray:
    """bool [columns] (Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339), chosen beforehand.

    Their threshold is a magnitude, of decoders beyond 6 billion weights.  MiniLM's layer norms
    leave some columns of 3 to 9 times the median, and gated products many that set nothing.  So
    columns are taken, the largest first, as long as each lowers the scale by more than its price:
    the last that may be taken has cost as much as half of the scale.  Without data, those of the
    largest weights.
    """
    size = np.abs(matrix).max(axis=0) if inputs is None else inputs
    most = len(size) // MOST
    order = np.argsort(-size, kind="stable")
    left = size[order[: most + 1]] * (1 + MOST / len(size) * np.arange(most + 1))
    count = int(left.argmin())
    chosen = np.zeros(len(size), bool)
    chosen[order[:count]] = left[count] < WORTH * left[0]
    return chosen
