"""Analytical clipping: the range that is best for the distribution the weights look like."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .search import Grid, grid_over

BETWEEN = (math.sqrt(0.5) + math.sqrt(2 / math.pi)) / 2  # E|w| / sigma of Laplace and of Gauss


def aciq(groups: np.ndarray, form: WeightFormat) -> Grid:
    """The mean +- alpha*, within the group's range (Banner et al. 2018, arXiv:1810.05723).

    alpha* is a multiple of b = E|w - mu| for Laplace, of sigma for Gauss: whichever the ratio of
    the two says the group is nearer to.  The paper's levels are the middles of 2 alpha* cut into
    2^bits, so that the outermost of a grid with an offset lie half a step within.
    """
    low, high = groups.min(axis=2), groups.max(axis=2)
    mu = groups.mean(axis=2) if form.offset else np.zeros_like(low)
    centred = groups - mu[:, :, None]
    b, sigma = np.abs(centred).mean(axis=2), np.sqrt(np.square(centred).mean(axis=2))
    bits = math.log2(CODES[form.kind].levels)
    alpha = np.where(b < BETWEEN * sigma, laplace(bits) * b, gauss(bits) * sigma)
    if form.offset:
        alpha *= 1 - 1 / CODES[form.kind].levels
    return grid_over(np.maximum(low, mu - alpha), np.minimum(high, mu + alpha), form)


@cache
def laplace(bits: float) -> float:
    """alpha* / b: the root of t exp(t) = 3 * 4**bits."""
    return _root(lambda t: 1 - 3 * 4**bits * math.exp(-t) / t)


@cache
def gauss(bits: float) -> float:
    """alpha* / sigma: where the derivative of the expected squared error is 0."""

    def slope(t: float) -> float:
        clipped = t * math.erfc(t / math.sqrt(2)) - math.sqrt(2 / math.pi) * math.exp(-t * t / 2)
        return clipped + t / (3 * 4**bits)

    return _root(slope)


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that is negative at 0 becomes positive, by halving."""
    low, high = 1e-6, 64.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return low
