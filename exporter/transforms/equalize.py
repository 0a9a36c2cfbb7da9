"""Cross-layer equalization: a channel's rows before and columns after get the same range."""

import numpy as np

from ..calibration.statistics import Statistics
from ..recipe import Recipe
from ..weights import Weights
from .folds import folds


def equalize(
    weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None = None
) -> None:
    """s = sqrt(r1 r2) / r2 (Nagel et al. 2019, arXiv:1906.04721), value to output, up to down."""
    for fold in folds(weights, layer):
        before = [name for name in fold.writers if weights.read(name).ndim == 2]
        if not before:
            continue  # a norm's gain is stored as it is: it has no range to share
        r1 = np.abs(weights.read(before[0])).max(axis=1)
        r2 = fold.mean(np.max([np.abs(weights.read(r)).max(axis=0) for r in fold.readers], axis=0))
        fits = (r1 > 0) & (r2 > 0)
        s = np.sqrt(np.where(fits, r1, 1) / np.where(fits, r2, 1))
        fold.apply(weights, np.where(fits, s, 1).astype(np.float32))
