"""How the scale (and offset) of each group of weights is chosen: one method per file.

groups   float32 [rows, groups, columns of a group]
scales   float32 [rows, groups], exact in the type the format stores (stored.py)
offsets  likewise, or None for a format without offsets
h        float64 [columns of the matrix, columns], second moments of its input
"""

from functools import partial
from typing import Protocol

import numpy as np

from edge.format.formats import WeightFormat

from ..registry import OFFSET, SYMMETRIC, TERNARY, Entry, find
from .absmax import absmax
from .absmean import absmean
from .absmean_all import absmean_all
from .aciq import aciq
from .clip import clip
from .hqq import hqq
from .kl import kl
from .least_squares import least_squares
from .minmax import minmax
from .mse import mse
from .percentile import percentile
from .signed_absmax import signed_absmax
from .twn import twn


class ScaleMethod(Protocol):
    """An entry that needs data is called with `h=` too."""

    def __call__(
        self, groups: np.ndarray, form: WeightFormat
    ) -> tuple[np.ndarray, np.ndarray | None]: ...


SCALES = {
    "minmax": Entry(
        "scales",
        minmax,
        "scale and offset from the smallest and largest weight: int4's plain way.",
        suits=(OFFSET,),
    ),
    "hqq": Entry(
        "scales", hqq, "an offset that leaves outliers alone (half-quadratic).", suits=(OFFSET,)
    ),
    "absmax": Entry(
        "scales",
        absmax,
        "scale from the largest magnitude.",
        suits=(OFFSET, SYMMETRIC, TERNARY),
        symmetric=True,
    ),
    "signed_absmax": Entry(
        "scales",
        signed_absmax,
        "the same, all 16 levels in use (Q4_0).",
        suits=(OFFSET,),
        symmetric=True,
    ),
    "least_squares": Entry(
        "scales",
        least_squares,
        "the best of a few scales near it: int8's own way.",
        suits=(SYMMETRIC,),
    ),
    "percentile": Entry("scales", percentile, "cuts a row's few largest weights off."),
    "absmean": Entry("scales", absmean, "BitNet's scale of ternary weights.", suits=(TERNARY,)),
    "twn": Entry("scales", twn, "the best scale of ternary weights.", suits=(TERNARY,)),
    "absmean_all": Entry(
        "scales",
        absmean_all,
        "the mean magnitude of all rows, BitNet b1's.",
        suits=(TERNARY,),
        whole=True,
    ),
    "mse": Entry(
        "scales", mse, "the range of least squared error.", suits=(OFFSET, SYMMETRIC, TERNARY)
    ),
    "aciq": Entry("scales", aciq, "the range that is best for a bell or a Laplace curve."),
    "kl": Entry("scales", kl, "the range whose histogram changes least."),
    "clip": Entry(
        "scales", clip, "the range of least output error; needs --calib.", needs_data=True
    ),
}


def scale_method(name: str, h: np.ndarray | None = None) -> ScaleMethod:
    """`h` is for the methods that need data."""
    entry = find(name)
    if not entry.needs_data:
        return entry.call
    assert h is not None
    return partial(entry.call, h=h)
