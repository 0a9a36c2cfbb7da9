"""A group's range, cut where its row has only a few weights more."""

import numpy as np

from edge.format.formats import WeightFormat

from .search import Grid, grid_over

BEYOND = 0.0005  # share of a row's weights below the range, and above it


def percentile(groups: np.ndarray, form: WeightFormat) -> Grid:
    """Ends of a group's range, but not beyond the row's quantiles of 0.05 % and 99.95 %."""
    row = groups.reshape(len(groups), -1)
    low, high = np.quantile(row, (BEYOND, 1 - BEYOND), axis=1).astype(np.float32)
    return grid_over(
        np.maximum(groups.min(axis=2), low[:, None]),
        np.minimum(groups.max(axis=2), high[:, None]),
        form,
    )
