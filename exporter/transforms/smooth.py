"""SmoothQuant: the range of activations moves into the weights, half of it."""

import numpy as np

from ..calibration.statistics import Statistics
from ..recipe import Recipe
from ..weights import Weights
from .folds import folds

ALPHA = 0.5


def smooth(weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None) -> None:
    """s = max|X| ** alpha / max|W| ** (1 - alpha) (Xiao et al. 2022, arXiv:2211.10438)."""
    assert statistics is not None
    for fold in folds(weights, layer):
        largest = np.max([np.abs(weights.read(r)).max(axis=0) for r in fold.readers], axis=0)
        x, w = fold.mean(statistics.fit(fold.readers[0]).largest), fold.mean(largest)
        fits = (x > 0) & (w > 0)
        s = np.where(fits, x, 1) ** ALPHA / np.where(fits, w, 1) ** (1 - ALPHA)
        fold.apply(weights, np.where(fits, s, 1).astype(np.float32))
