"""k-means where errors count by what they do to the output."""

import numpy as np

from edge.format.formats import WeightFormat

from .kmeans import kmeans


def squeezellm(
    groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """argmin of sum h (w - Q(w))**2 (Kim et al. 2023, arXiv:2306.07629).

    Their h is the diagonal of the Fisher information of the loss; here it is that of the output's
    second moments, E[x x^T], which is what calibration knows.
    """
    assert weights is not None
    return kmeans(groups, form, weights)
