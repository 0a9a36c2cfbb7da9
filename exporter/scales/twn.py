"""The scale of ternary weights with the least squared error there is."""

import numpy as np

from edge.format.formats import WeightFormat

from .stored import stored


def twn(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, None]:
    """Exact optimum of ternary weight networks (Li et al. 2016, arXiv:1605.04711).

    If the k largest magnitudes become +-alpha, alpha is their mean and the error falls by
    sum**2 / k; their 0.7 E|w| is an estimate of the k that is found here by trying all.
    """
    sums = np.sort(np.abs(groups), axis=2)[:, :, ::-1].cumsum(axis=2, dtype=np.float64)
    count = np.arange(1, groups.shape[2] + 1)
    best = (sums**2 / count).argmax(axis=2)[:, :, None]
    alpha = np.take_along_axis(sums, best, axis=2)[:, :, 0] / count[best[:, :, 0]]
    return stored(alpha.astype(np.float32), form), None
