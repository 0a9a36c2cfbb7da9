"""Binary weights: -1 or 1 times a scale, never 0."""

import numpy as np

from edge.format.formats import CODES, WeightFormat


def sign(
    groups: np.ndarray, scales: np.ndarray, offsets: np.ndarray | None, form: WeightFormat
) -> np.ndarray:
    """B = sign(W) (XNOR-Net, arXiv:1603.05279); with alpha = mean|W| nearest to W there is."""
    return _codes(groups < 0, form)


def sign_centred(
    groups: np.ndarray, scales: np.ndarray, offsets: np.ndarray | None, form: WeightFormat
) -> np.ndarray:
    """W~ = sign(W - mean(W)) (BitNet b1, arXiv:2310.11453, eq. 1-3); the mean is of all rows.

    A weight that is the mean keeps its own sign, so that a constant matrix stays what it is.
    """
    mean = groups.mean(dtype=np.float64)
    return _codes((groups < mean) | (groups == mean) & (groups < 0), form)


def _codes(negative: np.ndarray, form: WeightFormat) -> np.ndarray:
    return np.where(negative, np.uint8(0), np.uint8(CODES[form.kind].levels - 1))
