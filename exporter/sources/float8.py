"""8-bit floats as float32, by table (OCP 8-bit floating point, E4M3 and E5M2).

E4M3 has no infinities: only the two codes with all other bits set are NaN.
"""

import numpy as np


def _e4m3() -> np.ndarray:
    codes = np.arange(128)
    exponent, mantissa = codes >> 3, codes & 7
    significand = np.where(exponent == 0, mantissa / 8, 1 + mantissa / 8)
    positive = np.ldexp(significand, np.maximum(exponent, 1) - 7)
    positive[127] = np.nan
    return np.concatenate([positive, -positive]).astype(np.float32)


def _e5m2() -> np.ndarray:
    """The high bytes of float16."""
    halves = (np.arange(256, dtype=np.uint16) << 8).view(np.float16)
    with np.errstate(invalid="ignore"):  # ARM tells of NaNs that are widened
        return halves.astype(np.float32)


VALUES = {"F8_E4M3": _e4m3(), "F8_E5M2": _e5m2()}
