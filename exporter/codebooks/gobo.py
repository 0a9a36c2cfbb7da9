"""Eight centroids for a whole matrix, without its outliers: 3 bits (GOBO)."""

import numpy as np

from edge.format.formats import WeightFormat

from ..scales.stored import stored
from .fixed import for_rows
from .lloyd import Sets

CENTROIDS = 8
LARGEST = 127
ENOUGH = 0.01
# Log-density below -4, for weights with the standard deviation of BERT's, 0.04: the paper's rule
# without its unit.
BEYOND = float(np.sqrt(2 * (4 - np.log(0.04 * np.sqrt(2 * np.pi)))))


def gobo(
    groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Zadeh et al. 2020 (arXiv:2005.03842); outliers are in nobody's bin.

    One scale and one codebook for all; 3-bit codes are stored in 4.
    """
    values = groups.ravel()
    inner = values[~outliers(values)]
    centroids, _ = fit(Sets(inner[None], np.ones((1, inner.size), np.float32)))
    largest = np.full(groups.shape[:2], np.abs(centroids).max(), np.float32)
    scales = stored(largest / np.float32(LARGEST), form)
    levels = np.rint(centroids / (scales[0, 0] or 1)).clip(-LARGEST, LARGEST)
    return scales, for_rows(levels, len(groups))


def outliers(values: np.ndarray) -> np.ndarray:
    """bool, as `values`: what a normal distribution with their moments hardly holds."""
    sigma = float(values.std(dtype=np.float64))
    far: np.ndarray = np.abs(values - values.mean(dtype=np.float64)) > BEYOND * sigma
    return far


def fit(sets: Sets) -> tuple[np.ndarray, int]:
    """Centroids [8], and iterations: bins of equal population, then few steps of k-means.

    The paper ends when the sum of distances grows.  On a bell that leaves 10 % more squared error
    than k-means at rest; three turns more, until a step brings less than 1 %, leave 3 %.
    """
    centroids, turns = sets.quantiles(CENTROIDS), 0
    errors = [np.inf, float(sets.squared_error(centroids)[0])]
    while errors[-1] < (1 - ENOUGH) * errors[-2]:
        centroids = sets.means(sets.nearest(centroids), centroids)
        errors.append(float(sets.squared_error(centroids)[0]))
        turns += 1
    return centroids[0], turns
