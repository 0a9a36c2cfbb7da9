"""Round up with the probability of the remainder: right on average, wrong by more."""

import zlib

import numpy as np

from edge.format.formats import CODES, WeightFormat


def stochastic(
    groups: np.ndarray,
    scales: np.ndarray,
    offsets: np.ndarray | None,
    form: WeightFormat,
    seed: int = 0,
) -> np.ndarray:
    """q = clip(floor(w / S + Z + u)), u uniform in [0, 1).

    The same weights get the same codes from one seed, whichever rows came before them.
    """
    random = np.random.default_rng([seed, zlib.crc32(np.ascontiguousarray(groups).data)])
    steps = np.where(scales == 0, np.float32(1), scales)
    codes = groups - offsets[:, :, None] if offsets is not None else groups
    codes = codes / steps[:, :, None] + np.float32(form.zero)
    codes += random.random(codes.shape, np.float32)
    np.floor(codes, out=codes)
    np.clip(codes, 0, CODES[form.kind].levels - 1, out=codes)
    return codes.astype(np.uint8)
