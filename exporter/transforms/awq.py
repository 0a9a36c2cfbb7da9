"""Activation-aware scaling: channels that carry large inputs get finer steps."""

import numpy as np

from ..calibration.statistics import Statistics
from ..layer_error import output_error
from ..quantize import Method, quantize
from ..recipe import Recipe
from ..weights import Turn, Weights
from .folds import Fold, folds

EXPONENTS = np.linspace(0, 1, 11)
ROWS = 128  # of a matrix, spread evenly, stand for all: the error is a sum over rows


def awq(weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None) -> None:
    """s = E|x| ** alpha, with the alpha of least output error (Lin et al. 2023, arXiv:2306.00978).

    alpha = 0 changes nothing, so no layer becomes worse on the data it was chosen by.
    """
    assert statistics is not None
    for fold in folds(weights, layer):
        readers = [r for r in fold.readers if not recipe.method(r).format.is_float]
        if readers:
            fold.apply(weights, _best(weights, recipe, fold, readers, statistics))


def awq_each(weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None) -> None:
    """The same with factors for every matrix by itself: they are stored beside it, not folded."""
    assert statistics is not None
    for fold in folds(weights, layer):
        for reader in fold.readers:
            if not recipe.method(reader).format.is_float:
                alone = Fold((reader,), ())
                weights.multiply_alone(reader, _best(weights, recipe, alone, [reader], statistics))


def _best(
    weights: Weights, recipe: Recipe, fold: Fold, readers: list[str], statistics: Statistics
) -> np.ndarray:
    """float32 [channels]"""
    moments = statistics.fit(readers[0])
    h = weights.second_moments(readers[0], moments.balanced).astype(np.float32)
    # E|x| in the paper; of rotated inputs only the second moments are known.
    is_turned = weights.turns.get(readers[0], Turn()).columns is not None
    size = np.sqrt(np.diagonal(h)) if is_turned else weights.inputs(readers[0], moments.mean_size)
    matrices = [(_some_rows(weights.read(r)), recipe.method(r).without_data()) for r in readers]
    candidates = [_factors(fold.mean(size), alpha) for alpha in EXPONENTS]
    errors = [
        sum(_error(w, fold.spread(s), method, h) for w, method in matrices) for s in candidates
    ]
    return candidates[int(np.argmin(errors))]


def _factors(size: np.ndarray, alpha: float) -> np.ndarray:
    """float32, around 1; channels that are never used count as the least used one."""
    used = size[size > 0]
    s = np.maximum(size, used.min() if used.size else 1.0) ** alpha
    factors: np.ndarray = (s / np.sqrt(s.max() * s.min())).astype(np.float32)
    return factors


def _error(w: np.ndarray, columns: np.ndarray, method: Method, h: np.ndarray) -> float:
    return output_error(quantize(w * columns, method).dequantize() / columns - w, h)


def _some_rows(w: np.ndarray) -> np.ndarray:
    return w[:: max(1, len(w) // ROWS)]
