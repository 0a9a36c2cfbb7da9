"""Columns whose inputs are far beyond the others': they alone would set the activations' scale."""

import numpy as np

MOST = 16  # one column in so many, at most
PRICE = 32  # over the number of columns: the share that each must take off the scale
WORTH = 2 / 3  # of the scale, price included: what is left, or it is not worth a product beside


def outliers(matrix: np.ndarray, inputs: np.ndarray | None) -> np.ndarray:
    """bool [columns] (Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339), chosen beforehand.

    Their threshold is a magnitude, of decoders beyond 6 billion weights.  Half of MiniLM's tokens
    have their scale from two columns of 3 to 5 times the median, after a layer norm, and gated
    products have many of that size, which set nothing: so columns are taken, the largest first, as
    long as what is left is worth it.  Without data, those of the largest weights.
    """
    size = np.abs(matrix).max(axis=0) if inputs is None else inputs
    most = len(size) // MOST
    order = np.argsort(-size, kind="stable")
    left = size[order[: most + 1]] * (1 + PRICE / len(size) * np.arange(most + 1))
    count = int(left.argmin())
    chosen = np.zeros(len(size), bool)
    chosen[order[:count]] = left[count] < WORTH * left[0]
    return chosen
