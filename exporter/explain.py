"""What a recipe would do to a model, before anything is written."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge.format import spec

from .allocation.mixed import allocate
from .architectures import lower
from .architectures.placement import Placement
from .language import parse
from .pipeline import check_rules
from .quantize import float_error, quantization_error, quantize
from .recipe import Recipe
from .sources import Source, open_source
from .transforms import transform_model
from .weights import Weights

ROWS = 128  # of a class's matrices together: enough for an error to two digits


@dataclass(frozen=True)
class ClassPlan:
    """Matrices of one kind in one format: "attention.value" of all layers.

    error  predicted ||W - Q(W)|| / ||W||, from a sample of rows, by the method without data where
           the recipe's needs some; None for vectors
    """

    name: str
    format: str
    tensors: int
    weights: int
    bytes: int
    error: float | None


def explain(source: str | Source, quant: str, group: int | None = None) -> list[ClassPlan]:
    """Classes of tensors in the order of the file; reads a few rows of each."""
    recipe = parse(quant, group)
    opened = open_source(source) if isinstance(source, str) else source
    weights = Weights(opened, model := lower(opened))
    check_rules(recipe, model)
    transform_model(weights, recipe)
    if recipe.bits is not None:
        recipe = allocate(weights, recipe, None)
    classes: dict[tuple[str, str], list[Placement]] = {}
    for tensor in weights.model.tensors:
        name = re.sub(r"^layers\.\d+\.", "", tensor.name).removesuffix(".weight")
        classes.setdefault((name, _format(weights, recipe, tensor)), []).append(tensor)
    return [_class(weights, recipe, key, tensors) for key, tensors in classes.items()]


def _format(weights: Weights, recipe: Recipe, tensor: Placement) -> str:
    if len(tensor.shape) == 1:
        return "vector"
    kept = recipe.kept(tensor, weights.source)
    return str(recipe.method(tensor.name).format if kept is None else kept.format)


def _class(
    weights: Weights, recipe: Recipe, key: tuple[str, str], tensors: list[Placement]
) -> ClassPlan:
    name, form = key
    error = None
    if form != "vector":
        kept = recipe.kept(tensors[0], weights.source)
        error = _error(weights, recipe, tensors) if kept is None else 0.0
    return ClassPlan(
        name=name,
        format=form,
        tensors=len(tensors),
        weights=sum(math.prod(t.shape) for t in tensors),
        bytes=sum(spec.nbytes(form, t.stored_shape) for t in tensors),
        error=error,
    )


def _error(weights: Weights, recipe: Recipe, tensors: list[Placement]) -> float:
    """The mean over at most three matrices: the first, the middle one, the last."""
    some = list({t.name: t for t in (tensors[0], tensors[len(tensors) // 2], tensors[-1])})
    errors = list(_errors(weights, recipe, some))
    return sum(errors) / len(errors)


def _errors(weights: Weights, recipe: Recipe, names: Iterable[str]) -> Iterator[float]:
    for name in names:
        matrix, method = weights.read(name), recipe.method(name)
        blind = method.without_data() if method.needs_data else method
        matrix = matrix[:: max(1, len(matrix) // ROWS)]
        if method.format.is_float:
            yield float_error(matrix, method.format)
        else:
            yield quantization_error(matrix, quantize(matrix, blind))
