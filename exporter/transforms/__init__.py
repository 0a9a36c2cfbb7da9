"""Transforms: they change tensors before these are quantized, one method per file.

In exact arithmetic the model computes what it did.  Most move scale, a layer at a time: a reader's
columns times s, whatever is before it divided by s.  Those of the whole model come first; those of
a matrix come last, when it is quantized, and change its bias.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from ..calibration.statistics import Statistics
from ..recipe import Recipe
from ..registry import CODEBOOK, OFFSET, SYMMETRIC, Entry, find
from ..weights import Weights
from .awq import awq, awq_each
from .bias_correct import bias_correct
from .equalize import equalize
from .hadamard import hadamard
from .smooth import smooth

SUITS = (OFFSET, SYMMETRIC, CODEBOOK)


class Transform(Protocol):
    """Multiplies rows and columns of `weights`, of one layer; layers come in order.

    `statistics` of what matrices read is None unless the entry needs data.
    """

    def __call__(
        self, weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None, /
    ) -> None: ...


class WholeTransform(Protocol):
    """Rotates or multiplies what it wants of a model's `weights`, before any layer's turn."""

    def __call__(self, weights: Weights, recipe: Recipe, /) -> None: ...


class Correction(Protocol):
    """The float32 [rows] to add to a bias, or None, for a matrix `moved` by being quantized."""

    def __call__(
        self, weights: Weights, name: str, moved: np.ndarray, statistics: Statistics, /
    ) -> np.ndarray | None: ...


TRANSFORMS = {
    "awq": Entry(
        "transform",
        awq,
        "scales channels by what passes through them; needs --calib.",
        suits=SUITS,
        needs_data=True,
    ),
    "awq_each": Entry(
        "transform",
        awq_each,
        "the same for each matrix by itself, at the cost of a vector beside it; needs --calib.",
        needs_data=True,
    ),
    "smooth": Entry(
        "transform",
        smooth,
        "moves half of the activations' range into the weights (SmoothQuant); needs --calib.",
        suits=SUITS,
        needs_data=True,
    ),
    "equalize": Entry(
        "transform",
        equalize,
        "gives a channel's rows and columns one range (cross-layer equalization).",
        suits=SUITS,
    ),
    "hadamard": Entry(
        "transform",
        hadamard,
        "rotates the residual stream and the values: outliers spread over all channels.",
        suits=SUITS,
        stage="model",
    ),
    "bias_correct": Entry(
        "transform",
        bias_correct,
        "gives outputs their mean back with a bias; needs --calib.",
        needs_data=True,
        stage="matrix",
    ),
}


def transform_model(weights: Weights, recipe: Recipe) -> None:
    """Apply those of the recipe's transforms that take the whole model."""
    for entry in _at("model", recipe):
        entry.call(weights, recipe)


def transform_layer(
    weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None
) -> None:
    """Apply those that take a layer."""
    for entry in _at("layer", recipe):
        entry.call(weights, recipe, layer, statistics)


def corrections(recipe: Recipe) -> Iterator[Correction]:
    """Those that take a matrix once it is quantized."""
    return (entry.call for entry in _at("matrix", recipe))


def _at(stage: str, recipe: Recipe) -> Iterator[Entry]:
    return (entry for entry in map(find, recipe.transforms) if entry.stage == stage)
