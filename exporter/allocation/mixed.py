"""Bits where they matter: every matrix of the layers in one of a few formats."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edge.errors import RecipeError
from edge.format import spec
from edge.format.config import DecoderConfig
from edge.format.formats import WeightFormat

from ..architectures import Lowered
from ..architectures.placement import Placement
from ..calibration.probe import rounded
from ..calibration.statistics import Statistics, split
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
TINY = 1e-12  # of the energy: what matrices lose that are on the probe's grid
RESIDUAL = ("attention.output", "feed_forward.down")  # their products are added to it
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
    that is lost.  With them it is divergence: measured of each kind of matrix, all layers' at
    once, and shared out by `_shares`.  Padding counts.  Raises RecipeError if the budget is too
    small.
    """
    matrices = [t for t in weights.model.tensors if _is_free(t, recipe)]
    shares = np.array([_shares(weights, t, recipe, statistics) for t in matrices])
    errors = shares[:, 1:]
    if statistics is not None and weights.model.kind == "decoder":
        names = [t.name for t in matrices]
        errors = errors * _worth(weights, statistics, names, shares[:, 0], progress)
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


def _worth(
    weights: Weights,
    statistics: Statistics,
    names: list[str],
    probed: np.ndarray,
    progress: Progress,
) -> np.ndarray:
    """float64 [matrices, 1]: nats a token for a share of energy, by a matrix's kind.

    `probed` is the share that each loses when it is rounded as `divergences` does it.
    """
    from ..calibration.divergence import divergences  # the runtime: only if needed

    kinds: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        kinds.setdefault(split(name)[1], []).append(i)
    groups = [[names[i] for i in of_kind] for of_kind in kinds.values()]
    worth = np.empty((len(names), 1))
    measured = divergences(weights, statistics.tokens(), groups, progress)
    for of_kind, nats in zip(kinds.values(), measured, strict=True):
        worth[of_kind] = nats / max(probed[of_kind].sum(), TINY)
    return worth


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


def _shares(
    weights: Weights, tensor: Placement, recipe: Recipe, statistics: Statistics | None
) -> list[float]:
    """The share of energy that the probe loses, then each format, rounded to nearest.

    Errors are tr(D H D^T); what the residual stream takes in is compared with its energy, what
    others read with that of the output itself.
    """
    matrix = weights.read(tensor.name)
    matrix = matrix[:: max(1, len(matrix) // ROWS)]
    h = np.eye(matrix.shape[1])
    if statistics is not None:
        h = weights.second_moments(tensor.name, statistics.fit(tensor.name).plain)
    energy = output_error(matrix, h)
    if statistics is not None and _is_added(tensor, weights.model):
        layer, _ = split(tensor.name)
        energy = statistics.energy(layer) * len(matrix) / tensor.shape[0]
    stored = [rounded(matrix), *(_quantized(matrix, recipe, form) for form in FORMATS)]
    return [output_error(values - matrix, h) / (energy or 1.0) for values in stored]


def _is_added(tensor: Placement, model: Lowered) -> bool:
    """Whether a matrix's product goes into the residual stream as it is."""
    is_plain = isinstance(model.config, DecoderConfig) and not model.config.post_norms
    return is_plain and split(tensor.name)[1] in RESIDUAL


def _quantized(matrix: np.ndarray, recipe: Recipe, form: WeightFormat) -> np.ndarray:
    method = _method(recipe, form)
    return quantize(matrix, method.without_data() if method.needs_data else method).dequantize()
