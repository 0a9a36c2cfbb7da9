"""Transforms: they move scale between tensors before these are quantized, one method per file.

In exact arithmetic the model computes what it did: a reader's columns times s, whatever is before
it divided by s.
"""

from typing import Protocol

from edge.errors import RecipeError

from ..calibration.statistics import Statistics
from ..recipe import Recipe
from ..weights import Weights
from .awq import awq
from .equalize import equalize
from .smooth import smooth


class Transform(Protocol):
    def __call__(
        self, weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None, /
    ) -> None: ...


TRANSFORMS: dict[str, Transform] = {"awq": awq, "smooth": smooth, "equalize": equalize}


def transform(name: str) -> Transform:
    try:
        return TRANSFORMS[name]
    except KeyError:
        raise RecipeError(f"no transform {name!r}; choose from {', '.join(TRANSFORMS)}") from None
