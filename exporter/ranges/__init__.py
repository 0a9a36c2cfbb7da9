"""Scales of activations that calibration fixes for good: one for all that a matrix reads.

The searches are those of weights (edge.exporter.scales), the numbers read are one group.
"""

from functools import partial
from typing import Protocol

import numpy as np

from edge.format.formats import WeightFormat

from ..registry import CODEBOOK, OFFSET, SYMMETRIC, TERNARY, Entry
from ..scales import ScaleMethod
from ..scales.absmax import absmax
from ..scales.kl import kl
from ..scales.mse import mse
from ..scales.percentile import percentile

CODES = WeightFormat("int8")


class RangeMethod(Protocol):
    """The scale of the codes -127 .. 127 for float32 [n], some of what was read and its ends."""

    def __call__(self, values: np.ndarray) -> float: ...


def _by(search: ScaleMethod, values: np.ndarray) -> float:
    scales, _ = search(values.astype(np.float32).reshape(1, 1, -1), CODES)
    return float(scales[0, 0])


def _entry(search: ScaleMethod, sentence: str) -> Entry:
    suits = (OFFSET, SYMMETRIC, TERNARY, CODEBOOK)
    return Entry("range", partial(_by, search), f"with a8s in a graph: {sentence}", suits=suits)


RANGES = {
    "range_minmax": _entry(absmax, "all that calibration saw, its own way."),
    "range_percentile": _entry(percentile, "all but a thousandth of it."),
    "range_mse": _entry(mse, "the range of least squared error."),
    "range_kl": _entry(kl, "the range whose histogram changes least (entropy)."),
}
