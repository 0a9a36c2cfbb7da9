"""Transforms: they move scale between tensors before these are quantized, one method per file.

In exact arithmetic the model computes what it did: a reader's columns times s, whatever is before
it divided by s.
"""

from typing import Protocol

from ..calibration.statistics import Statistics
from ..recipe import Recipe
from ..registry import Entry, find
from ..weights import Weights
from .awq import awq
from .equalize import equalize
from .smooth import smooth


class Transform(Protocol):
    """Multiplies rows and columns of `weights`, of one layer; layers come in order.

    `statistics` of what matrices read is None unless the entry needs data.
    """

    def __call__(
        self, weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None, /
    ) -> None: ...


TRANSFORMS = {
    "awq": Entry(
        "transform",
        awq,
        "scales channels by what passes through them; needs --calib.",
        needs_data=True,
    ),
    "smooth": Entry(
        "transform",
        smooth,
        "moves half of the activations' range into the weights (SmoothQuant); needs --calib.",
        needs_data=True,
    ),
    "equalize": Entry(
        "transform",
        equalize,
        "gives a channel's rows and columns one range (cross-layer equalization).",
    ),
}


def transform(name: str) -> Transform:
    return find(name).call
