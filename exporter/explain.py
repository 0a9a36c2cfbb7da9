"""What a recipe would do to a model, before anything is written."""

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.format import spec, tiles

from .addends import expected_bytes
from .allocation.mixed import Speeds, allocate
from .architectures import lower
from .architectures.placement import Placement
from .augmented import augmented
from .calibration.corpus import MOST_WINDOWS, SELF_WINDOWS, WINDOW, own_and_text, windows_for
from .cautions import before, kind_of
from .duration import Sampled, Seconds, cores, seconds
from .language import parse
from .quantize import Method, float_error
from .recipe import Recipe
from .rows import BLOCK_ELEMENTS, rows_of
from .rules import check_rules
from .sources import Source, open_source
from .sources.lora import LoraSource
from .transforms import transform_model
from .weights import Weights

ROWS = 128  # of a class's matrices together: enough for an error to two digits


@dataclass(frozen=True)
class ClassPlan:
    """Matrices of one kind in one format: "attention.value" of all layers.

    error  predicted ||W - Q(W)|| / ||W||, from a sample of rows, by the method without data where
           the recipe's needs some; None for vectors
    activations  schemes of what its matrices read, as quantize.Method has them
    """

    name: str
    format: str
    tensors: int
    weights: int
    bytes: int
    error: float | None
    activations: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """bytes    of all tensors
    error    predicted ||W - Q(W)|| / ||W|| of all matrices together
    seconds  that an export takes, estimated
    """

    recipe: str
    bytes: int
    bits_per_weight: float
    error: float
    seconds: Seconds
    classes: tuple[ClassPlan, ...]
    cautions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": asdict(self.seconds) | {"total": self.seconds.total}}


@dataclass(frozen=True)
class _Sample:
    """What some rows say of a class: its error, its mean squared weight, its times a weight."""

    error: float
    energy: float
    read: float
    store: float
    plain: float


def explain(
    source: str | Source,
    quant: str,
    group: int | None = None,
    calib: str | Path | np.ndarray | None = None,
    lora: str | Path | None = None,
    lora_apart: bool = False,
    speeds: Speeds | None = None,
) -> Explanation:
    """Classes of tensors in the order of the file; reads a few rows of each.

    `calib` is only counted, to say how long it would take; `lora`, `lora_apart` and `speeds` as in
    an export.
    """
    recipe = parse(quant, group)
    opened = open_source(source) if isinstance(source, str) else source
    opened = opened if lora is None else LoraSource(opened, lora, lora_apart)
    weights = Weights(opened, model := lower(opened))
    check_rules(recipe, model)
    transform_model(weights, recipe)
    model = weights.model
    stored = recipe if recipe.budget is None else allocate(weights, recipe, None, speeds)
    classes: dict[tuple[str, str], list[Placement]] = {}
    orders: Counter[tuple[str, str]] = Counter()
    for tensor in model.tensors:
        form, order = _format(weights, stored, tensor)
        classes.setdefault((kind_of(tensor.name), form), []).append(tensor)
        orders[kind_of(tensor.name), form] += order
    samples = {
        key: _sample(weights, stored, tensors)
        for key, tensors in classes.items()
        if key[1] != "vector"
    }
    plans = tuple(
        _plan(stored, key, classes[key], samples.get(key), orders[key]) for key in classes
    )
    timed = [Sampled(classes[key], s.read, s.store, s.plain) for key, s in samples.items()]
    size = sum(plan.bytes for plan in plans)
    return Explanation(
        recipe=str(recipe),
        bytes=size,
        bits_per_weight=8 * size / model.parameters,
        error=_together([(samples[key], classes[key]) for key in samples]),
        seconds=seconds(stored, timed, _tokens(weights, calib)),
        classes=plans,
        cautions=before(recipe, model.parameters, [(p.format, p.error) for p in plans]),
    )


def _tokens(weights: Weights, calib: str | Path | np.ndarray | None) -> int:
    """Of calibration; as many as are read at most if it is not known."""
    if calib is None:
        return MOST_WINDOWS * WINDOW
    by_itself, text = own_and_text(calib)
    own = SELF_WINDOWS * WINDOW if by_itself else 0
    if text is None:
        return own
    return own + windows_for(weights.model, text, weights.source.tokenizer()).size


def _format(weights: Weights, recipe: Recipe, tensor: Placement) -> tuple[str, int]:
    """And the bytes of the order of its columns, where that is beside it."""
    if len(tensor.shape) == 1:
        return "vector", 0
    kept = recipe.kept(tensor, weights.source)
    if kept is None:
        return str(recipe.method(tensor.name).format), 0
    order = 0 if kept.order is None else spec.nbytes("indices", kept.order.shape)
    return str(kept.format), order


def _plan(
    recipe: Recipe,
    key: tuple[str, str],
    tensors: list[Placement],
    sample: _Sample | None,
    orders: int,
) -> ClassPlan:
    """`orders`: bytes of those beside the class's matrices."""
    name, form = key
    size = orders + sum(spec.nbytes(form, t.stored_shape) for t in tensors)
    if len(tensors[0].shape) == 2:
        beside = ((recipe.method(t.name).addends, t.stored_shape) for t in tensors)
        size += sum(expected_bytes(names, shape) for names, shape in beside)
    return ClassPlan(
        name=name,
        format=form,
        tensors=len(tensors),
        weights=sum(math.prod(t.shape) for t in tensors),
        bytes=size,
        error=None if sample is None else sample.error,
        activations=tuple(sorted({recipe.method(t.name).activation for t in tensors})),
    )


def _together(classes: list[tuple[_Sample, list[Placement]]]) -> float:
    moved = total = 0.0
    for sample, tensors in classes:
        energy = sample.energy * sum(math.prod(t.shape) for t in tensors)
        moved, total = moved + sample.error**2 * energy, total + energy
    return math.sqrt(moved / total) if total else 0.0


def _sample(weights: Weights, recipe: Recipe, tensors: list[Placement]) -> _Sample:
    """The mean over at most three matrices: the first, the middle one, the last."""
    some = {t.name: t for t in (tensors[0], tensors[len(tensors) // 2], tensors[-1])}
    found = [_of_one(weights, recipe, tensor) for tensor in some.values()]
    parts = np.array([(s.error, s.energy, s.read, s.store, s.plain) for s in found]).mean(axis=0)
    return _Sample(*map(float, parts))


def _of_one(weights: Weights, recipe: Recipe, tensor: Placement) -> _Sample:
    started = time.perf_counter()
    kept = recipe.kept(tensor, weights.source)
    if kept is not None:
        tiles.pack(kept)
        taken = (time.perf_counter() - started) / math.prod(tensor.shape)
        some = rows_of(kept, slice(0, ROWS)).dequantize()
        energy = float(np.square(some, dtype=np.float64).mean())
        return _Sample(weights.kept_error(tensor.name, kept), energy, 0.0, taken, taken)
    matrix = weights.read(tensor.name)
    read = (time.perf_counter() - started) / matrix.size
    some = matrix[:: max(1, len(matrix) // ROWS)]
    method = recipe.method(tensor.name)
    error, plain = _stored(some, method.without_data() if method.needs_data else method)
    if error and recipe.inexact is not None:
        error, plain = _stored(some, recipe.inexact)
    by_data = _by_data(some, method) if method.needs_data else 0.0
    store = (plain + by_data) / cores(matrix.size, BLOCK_ELEMENTS)
    energy = float(np.square(some, dtype=np.float64).mean())
    return _Sample(error, energy, read, store / some.size, plain / some.size)


def _stored(some: np.ndarray, method: Method) -> tuple[float, float]:
    """Relative error of rows, and the seconds it took to store them as an export would."""
    started = time.perf_counter()
    if method.format.is_float:
        tiles.pack_floats(some, method.format.kind)
        error = float_error(some, method.format)
    else:
        stored = augmented(some, method)
        tiles.pack(stored.tensor)
        error = stored.error(some)
    return error, time.perf_counter() - started


def _by_data(some: np.ndarray, method: Method) -> float:
    """Seconds of choosing scales with second moments; rounding by them is counted, not timed."""
    started = time.perf_counter()
    augmented(some, replace(method, rounding="rtn"), np.eye(some.shape[1]))
    return time.perf_counter() - started
