"""Round to nearest: every weight by itself."""

import numpy as np

from edge.format.formats import CODES, WeightFormat


def rtn(
    groups: np.ndarray, scales: np.ndarray, offsets: np.ndarray | None, form: WeightFormat
) -> np.ndarray:
    """q = clip(round(w / S) + Z), or clip(round((w - m) / S)) with an offset m."""
    steps = np.where(scales == 0, np.float32(1), scales)  # S = 0: all weights of the group are 0
    codes = groups - offsets[:, :, None] if offsets is not None else groups
    codes = np.rint(codes / steps[:, :, None])
    codes += np.float32(form.zero)
    np.clip(codes, 0, CODES[form.kind].levels - 1, out=codes)
    return codes.astype(np.uint8)
