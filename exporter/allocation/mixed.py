"""Bits where they matter: every matrix of the layers in one of a few formats."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from edge.errors import RecipeError
from edge.format import spec
from edge.format.formats import WeightFormat

from ..architectures.placement import Placement
from ..calibration.probe import rounded
from ..calibration.statistics import Statistics
from ..quantize import Method, quantize
from ..recipe import Recipe
from ..weights import Weights
from .ilp import choose
from .sensitivity import Progress, Rounding, shares, worth

FORMATS = (
    WeightFormat("int3", 256),
    *(WeightFormat("int4", group, offset=True) for group in (128, 64, 256)),
    WeightFormat("int5", 256, offset=True),
    WeightFormat("int6", 256),
    *(WeightFormat("int8", group) for group in (128, 32)),
)
Speeds = Mapping[str, float]  # GB/s of weights by format


def allocate(
    weights: Weights,
    recipe: Recipe,
    statistics: Statistics | None,
    speeds: Speeds | None = None,
    progress: Progress = lambda done, total: None,
) -> Recipe:
    """The recipe with a rule for each matrix of the layers that had none, within its budget.

    `speeds` are GB/s of weights by format on the device, for a budget of milliseconds.  Without
    statistics, and of an encoder, what is summed is the share of each matrix's (output's) energy
    that is lost.  With them it is divergence: measured of each kind of matrix, a band of
    layers at once, and shared out by `shares`.  Padding counts.  Raises RecipeError if the budget is too
    small.
    """
    matrices = [t for t in weights.model.tensors if _is_free(t, recipe)]
    ways: list[Rounding] = [
        rounded,
        *(partial(_quantized, recipe=recipe, form=form) for form in FORMATS),
    ]
    lost = np.array([shares(weights, tensor, statistics, ways) for tensor in matrices])
    errors = lost[:, 1:]
    if statistics is not None and weights.model.kind == "decoder":
        names = [t.name for t in matrices]
        errors *= worth(weights, statistics, recipe, names, lost[:, 0], progress)
    costs = _costs(matrices, recipe, speeds)
    assert recipe.budget is not None
    chosen = choose(errors, costs, recipe.budget.amount)
    if chosen is None:
        least = math.ceil(100 * costs.min(axis=1).sum()) / 100
        raise RecipeError(
            f"recipe {str(recipe)!r}: no formats fit into {recipe.budget}; this model takes {least} "
            "at least"
        )
    rules = [
        (t.name.removesuffix(".weight"), _method(recipe, FORMATS[i]))
        for t, i in zip(matrices, chosen, strict=True)
    ]
    return replace(recipe, rules=(*recipe.rules, *rules))


def _costs(matrices: list[Placement], recipe: Recipe, speeds: Speeds | None) -> np.ndarray:
    """float64 [matrices, formats]: the matrix's share of what the budget counts."""
    nbytes = np.array([[spec.nbytes(str(f), t.stored_shape) for f in FORMATS] for t in matrices])
    assert recipe.budget is not None
    if recipe.budget.unit == "bits":
        bits: np.ndarray = 8 * nbytes / sum(math.prod(t.shape) for t in matrices)
        return bits
    if speeds is None:
        raise RecipeError(
            f"recipe {str(recipe)!r}: how fast is the device? Give what `edge doctor --json` says "
            "there (--doctor FILE)"
        )
    missing = [str(f) for f in FORMATS if not speeds.get(str(f), 0) > 0]
    if missing:
        raise RecipeError(
            f"recipe {str(recipe)!r}: no speed of {missing[0]} was measured; run `edge doctor --json` "
            "of this version on the device"
        )
    milliseconds: np.ndarray = nbytes / np.array([1e6 * speeds[str(f)] for f in FORMATS])
    return milliseconds


def _is_free(tensor: Placement, recipe: Recipe) -> bool:
    is_body = len(tensor.shape) == 2 and tensor.name.startswith("layers.")
    return is_body and recipe.rule(tensor.name) is None


def _method(recipe: Recipe, form: WeightFormat) -> Method:
    """int8 is near enough without a search; 3 and 6 bits have no offset that the body's could be."""
    if form.kind == "int8":
        return Method(form, "absmax")
    if not form.offset:
        return replace(recipe.body, format=form, scales="mse")
    return replace(recipe.body, format=form)


def _quantized(matrix: np.ndarray, *, recipe: Recipe, form: WeightFormat) -> np.ndarray:
    method = _method(recipe, form)
    return quantize(matrix, method.without_data() if method.needs_data else method).dequantize()
