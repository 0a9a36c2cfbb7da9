"""Transforms: they change tensors before these are quantized, one method per file.

In exact arithmetic the model computes what it did.  Most move scale, a layer at a time: a reader's
columns times s, whatever is before it divided by s.  Those of the whole model come first.
"""

from typing import Protocol

from edge.errors import RecipeError

from ..calibration.statistics import Statistics
from ..recipe import Recipe
from ..weights import Weights
from .awq import awq
from .equalize import equalize
from .hadamard import hadamard
from .smooth import smooth


class Transform(Protocol):
    def __call__(
        self, weights: Weights, recipe: Recipe, layer: int, statistics: Statistics | None, /
    ) -> None: ...


class WholeTransform(Protocol):
    def __call__(self, weights: Weights, recipe: Recipe, /) -> None: ...


TRANSFORMS: dict[str, Transform] = {"awq": awq, "smooth": smooth, "equalize": equalize}
WHOLE: dict[str, WholeTransform] = {"hadamard": hadamard}


def transform_whole(weights: Weights, recipe: Recipe) -> None:
    """Apply those of a recipe's transforms that take the whole model and no data."""
    for name in recipe.transforms:
        if name in WHOLE:
            WHOLE[name](weights, recipe)


def transform(name: str) -> Transform:
    try:
        return TRANSFORMS[name]
    except KeyError:
        raise RecipeError(f"no transform {name!r}; choose from {', '.join(TRANSFORMS)}") from None
