"""Columns whose inputs are far beyond the others': they alone would set the activations' scale."""

import numpy as np

BEYOND = 6.0  # times the median column
MOST = 16  # one column in so many, at most


def outliers(matrix: np.ndarray, inputs: np.ndarray | None) -> np.ndarray:
    """bool [columns] (Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339), chosen beforehand.

    Their 6 is a magnitude, of inputs around 1; transforms move inputs, so here it is a multiple.
    Without data, columns whose weights are as far beyond the others'.
    """
    size = np.abs(matrix).max(axis=0) if inputs is None else inputs
    most = len(size) // MOST
    order = np.argsort(-size, kind="stable")
    chosen = np.zeros(len(size), bool)
    chosen[order[:most]] = size[order[:most]] > BEYOND * np.median(size)
    return chosen
