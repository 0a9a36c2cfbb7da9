"""The matrices of a graph, quantized by a plan: what the file will hold of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge.errors import RecipeError, SourceError
from edge.format.formats import QuantizedTensor, WeightFormat
from edge.format.graph import Node

from ..layer_error import output_error
from ..quantize import Method, float_error, quantization_error, quantize
from ..ranges import RANGES
from ..shifts import SHIFTS
from ..weights import LARGEST_WEIGHT
from .activity import Activity, Reads
from .centring import centred, middles
from .layers import PRODUCTS, Layer, layers
from .model import GraphModel, Matrix
from .narrow import narrow
from .plan import Plan

LARGEST_HALF = 65504.0
GROUP = 32  # inputs that share a scale of their codes where weights are grouped


@dataclass(frozen=True)
class StoredMatrix:
    """What is written of one matrix, and what it means.

    tensor      codes, or None of floats
    format      of the weights
    weight      float32 [rows, columns] that they mean
    bias        float32 [rows] or None
    activation  as the header says it of inputs (edge/format/spec.py)
    error       ||W - Q(W)|| / ||W||
    shift       what the graph takes off its input before; the bias makes up for it
    """

    tensor: QuantizedTensor | None
    format: WeightFormat
    weight: np.ndarray
    bias: np.ndarray | None
    activation: str | float | None = None
    error: float = 0.0
    shift: float = 0.0

    def read(self, x: np.ndarray) -> np.ndarray:
        """x [..., channels] as the product sees it: codes of int8 times their scale; floats stay."""
        if self.tensor is None or self.activation == "float":
            return x
        if isinstance(self.activation, float):
            return rounded(x, np.float32(self.activation))
        if self.format.group == 0 or self.activation == "token":
            return rounded(x, np.abs(x).max(axis=-1, keepdims=True) / np.float32(127))
        groups = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % GROUP)])
        groups = groups.reshape(*x.shape[:-1], -1, GROUP)
        scales = np.abs(groups).max(axis=-1, keepdims=True) / np.float32(127)
        return rounded(groups, scales).reshape(*x.shape[:-1], -1)[..., : x.shape[-1]]


def rounded(x: np.ndarray, scales: np.ndarray | np.float32) -> np.ndarray:
    """Each number to the nearest multiple of its scale, at most 127 of them."""
    steps = np.where(scales == 0, np.float32(1), scales)
    values: np.ndarray = np.clip(np.rint(x / steps), -127, 127) * scales
    return values.astype(x.dtype)


@dataclass(frozen=True)
class Quantized:
    """A graph and its matrices as they are about to be written.

    fallen  (matrix, what its data-aware method was left for, and why)
    """

    model: GraphModel
    stored: Mapping[str, StoredMatrix]
    fallen: tuple[tuple[str, str], ...] = ()

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        return self.stored[name].weight, self.stored[name].bias

    def read(self, node: Node, x: np.ndarray) -> np.ndarray:
        """What a layer reads in place of x."""
        return self.stored[str(node.attributes["weight"])].read(x) if node.op in PRODUCTS else x


def check_finite(model: GraphModel) -> None:
    """Raises SourceError."""
    for name, matrix in model.matrices.items():
        for part in (matrix.weight, matrix.bias):
            if part is not None and part.size and not np.abs(part).max() < LARGEST_WEIGHT:
                raise SourceError(
                    f"tensor {matrix.source or name!r} holds NaN or numbers beyond "
                    f"{LARGEST_WEIGHT:g}: the file is broken"
                )


def quantize_graph(model: GraphModel, plan: Plan, activity: Activity) -> Quantized:
    """`activity` of as many matrices as there are data of; none of the others.

    Raises RecipeError for weights that a format cannot hold.
    """
    shifts = _shifts(model, plan, activity)
    free = {n: m for n, m in middles(model.graph).items() if _is_dynamic(plan, n)}
    stored: dict[str, StoredMatrix] = {}
    fallen: list[tuple[str, str]] = []
    for name, matrix in model.matrices.items():
        reads = activity.get(name)
        method = _method(plan.methods[name], name, reads, fallen)
        found = _stored(name, matrix, method, plan, reads, fallen)
        stored[name] = _activated(found, method, reads, shifts.get(name) or free.get(name, 0.0))
    shifted = _shifted(model, shifts)
    graph = narrow(centred(shifted.graph, free), plan.recipe.body.format)
    return Quantized(replace(shifted, graph=graph), stored, tuple(fallen))


def in_floats(quantized: Quantized, model: GraphModel, names: Iterable[str]) -> Quantized:
    """With some of its matrices in floats after all; `model` is what was quantized."""
    stored = dict(quantized.stored)
    for name in names:
        largest = float(np.abs(model.matrices[name].weight).max())
        form = WeightFormat("float16" if largest <= LARGEST_HALF else "float32")
        floats = _floats(name, model.matrices[name], form)
        stored[name] = _about(floats, stored[name].shift)
    return replace(quantized, stored=stored)


def _method(
    method: Method, name: str, reads: Reads | None, fallen: list[tuple[str, str]]
) -> Method:
    """Without data there is nothing to choose by: inside control flow, say."""
    if reads is not None or not method.needs_data:
        return method
    blind = method.without_data()
    fallen.append((name, f"{_named(blind)}, since nothing was seen to read it"))
    return blind


def _named(method: Method) -> str:
    return f"stored by {method.scales} and {method.rounding}"


def _stored(
    name: str,
    matrix: Matrix,
    method: Method,
    plan: Plan,
    reads: Reads | None,
    fallen: list[tuple[str, str]],
) -> StoredMatrix:
    kept, weight = plan.keeps(name, matrix), matrix.weight
    if kept is not None:
        return StoredMatrix(kept, kept.format, kept.dequantize(), matrix.bias)
    if method.format.is_float:
        return _floats(name, matrix, method.format)
    if reads is not None and method.needs_data:
        tensor = _judged(name, weight, method, reads, fallen)
    else:
        tensor = quantize(weight, method)
    error = quantization_error(weight, tensor)
    return StoredMatrix(tensor, tensor.format, tensor.dequantize(), matrix.bias, error=error)


def _floats(name: str, matrix: Matrix, form: WeightFormat) -> StoredMatrix:
    error = float_error(matrix.weight, form)
    if not np.isfinite(error):
        raise RecipeError(
            f"matrix {name!r} has weights beyond {form}; store it as float32 ({name}=float32)"
        )
    weight = matrix.weight.astype(form.kind).astype(np.float32)
    return StoredMatrix(None, form, weight, matrix.bias, error=error)


def _judged(
    name: str, weight: np.ndarray, method: Method, reads: Reads, fallen: list[tuple[str, str]]
) -> QuantizedTensor:
    """By data, unless on rows that were held out the same without data does better."""
    blind = method.without_data()
    tensors = quantize(weight, method, reads.moments), quantize(weight, blind)
    h = reads.held_out_moments
    by_data, plain = (output_error(t.dequantize() - weight, h) for t in tensors)
    if plain < by_data:
        fallen.append((name, f"{_named(blind)}, which did better on rows held out"))
        return tensors[1]
    return tensors[0]


def _activated(
    stored: StoredMatrix, method: Method, reads: Reads | None, shift: float
) -> StoredMatrix:
    """With what the header says of its input's codes."""
    if stored.tensor is None:
        return stored
    stored = _about(stored, shift)
    if method.activation == "float":
        return replace(stored, activation="float")
    if method.activation == "token":
        return replace(stored, activation="token" if stored.format.group else None)
    if method.activation != "static" or reads is None:
        return stored
    values = np.append(reads.fit.ravel(), (reads.low, reads.high)).astype(np.float32)
    scale = RANGES[method.range].call(values - np.float32(shift))
    return replace(stored, activation=scale or None)  # of nothing but zeros there is no scale


def _is_dynamic(plan: Plan, name: str) -> bool:
    """Whether its input becomes codes whose scale shows at run time, so that a Clip says most."""
    return not plan.methods[name].format.is_float and plan.methods[name].activation != "static"


def _about(stored: StoredMatrix, shift: float) -> StoredMatrix:
    """Of an input that the graph takes `shift` off before: the bias makes up for it."""
    if not shift:
        return stored
    lost = stored.weight.sum(axis=1) * np.float32(shift)
    bias = lost if stored.bias is None else stored.bias + lost
    return replace(stored, bias=bias.astype(np.float32), shift=shift)


def _shifts(model: GraphModel, plan: Plan, activity: Activity) -> dict[str, float]:
    """c by matrix, where all its layers can do with it: zeros at a border would have to become -c."""
    outside = {id(node) for node in model.graph.nodes}
    readers: dict[str, list[Layer]] = {}
    for layer in layers(model.graph):
        readers.setdefault(layer.name, []).append(layer)
    found = {}
    for name, method in plan.methods.items():
        able = method.activation == "static" and method.shift and name in activity
        fixed = any(_is_fixed(layer) or id(layer.node) not in outside for layer in readers[name])
        if able and not method.format.is_float and not fixed:
            found[name] = float(
                np.float32(SHIFTS[method.shift].call(activity[name].low, activity[name].high))
            )
    return {name: shift for name, shift in found.items() if shift}


def _is_fixed(layer: Layer) -> bool:
    return layer.is_padded or layer.op not in PRODUCTS


def _shifted(model: GraphModel, shifts: Mapping[str, float]) -> GraphModel:
    """x -> x + (-c), before each layer of these matrices."""
    if not shifts:
        return model
    constants, nodes = dict(model.graph.constants), []
    for node in model.graph.nodes:
        shift = shifts.get(str(node.attributes.get("weight", "")))
        if shift is not None:
            x, y = node.inputs[0], f"{node.outputs[0]}.about"
            constants[f"{y}.middle"] = np.array(-shift, np.float32)
            nodes.append(Node("Add", (x, f"{y}.middle"), (y,)))
            node = replace(node, inputs=(y, *node.inputs[1:]))
        nodes.append(node)
    return replace(model, graph=replace(model.graph, nodes=tuple(nodes), constants=constants))
