"""The mean magnitude of a group: BitNet b1.58's scale of ternary weights."""

import numpy as np

from edge.format.formats import WeightFormat

from .stored import stored


def absmean(groups: np.ndarray, form: WeightFormat) -> tuple[np.ndarray, None]:
    """gamma = mean|w| (arXiv:2402.17764); weights beyond gamma / 2 become -gamma or gamma."""
    return stored(np.abs(groups).mean(axis=2), form), None
