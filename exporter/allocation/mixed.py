"""Bits where they matter: every matrix of the layers in one of a few formats."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edge.errors import RecipeError
from edge.format import spec
from edge.format.formats import WeightFormat

from ..architectures.placement import Placement
from ..calibration.probe import rounded
from ..calibration.statistics import Statistics
from ..layer_error import output_error
from ..quantize import Method, quantize
from ..recipe import Recipe
from ..weights import Weights
from .ilp import choose

FORMATS = (
    WeightFormat("int3", 256),
    *(WeightFormat("int4", group, offset=True) for group in (128, 64, 256)),
    WeightFormat("int5", 256, offset=True),
    WeightFormat("int6", 256),
    *(WeightFormat("int8", group) for group in (128, 32)),
)
TINY = 1e-12  # of the energy: what a matrix loses that is on the probe's grid
ROWS = 128  # of a matrix stand for all
Progress = Callable[[int, int], None]  # matrices done, matrices in all
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
    that is lost.  With them it is divergence: measured with the matrix at 3 bits, and carried over to each format by
    the ratio of output errors, tr(D H D^T).  Padding counts.  Raises RecipeError if the budget is
    too small.
    """
    matrices = [t for t in weights.model.tensors if _is_free(t, recipe)]
    errors = np.array([_errors(weights, t, recipe, statistics) for t in matrices])
    if statistics is not None and weights.model.kind == "decoder":
        names = [t.name for t in matrices]
        errors[:, 1:] *= _divergences(weights, recipe, statistics, names, progress)
        errors[:, 1:] /= np.maximum(errors[:, :1], TINY)
    costs = _costs(matrices, recipe, speeds)
    assert recipe.budget is not None
    chosen = choose(errors[:, 1:], costs, recipe.budget.amount)
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


def _divergences(
    weights: Weights,
    recipe: Recipe,
    statistics: Statistics,
    names: list[str],
    progress: Progress,
) -> np.ndarray:
    """float64 [matrices, 1]; what was measured before a kill is not measured again."""
    from ..calibration.divergence import divergences  # the runtime: only if needed

    known = statistics.divergences(str(recipe))
    missing = [name for name in names if name not in known]
    for name, nats in divergences(weights, statistics.tokens(), missing, progress):
        known[name] = nats
        statistics.keep_divergences(str(recipe), known)
    return np.array([[known[name]] for name in names])


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


def _errors(
    weights: Weights, tensor: Placement, recipe: Recipe, statistics: Statistics | None
) -> list[float]:
    """The share of the output's energy that the probe loses, then each format, rounded to nearest."""
    matrix = weights.read(tensor.name)
    matrix = matrix[:: max(1, len(matrix) // ROWS)]
    h = np.eye(matrix.shape[1])
    if statistics is not None:
        h = weights.second_moments(tensor.name, statistics.fit(tensor.name).balanced)
    energy = output_error(matrix, h) or 1.0
    stored = [rounded(matrix), *(_quantized(matrix, recipe, form) for form in FORMATS)]
    return [output_error(values - matrix, h) / energy for values in stored]


def _quantized(matrix: np.ndarray, recipe: Recipe, form: WeightFormat) -> np.ndarray:
    method = _method(recipe, form)
    return quantize(matrix, method.without_data() if method.needs_data else method).dequantize()
