"""Batch norms, and factors and shifts beside convolutions, taken into the weights."""

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from .affine import affine, finite
from .editing import Editing, rewrite


def fold_into_convolutions(model: GraphModel) -> GraphModel:
    """Weights that several convolutions share, or whose grid is to be kept, stay as they are."""
    model = rewrite(model, _split_norms)
    kept = set(model.grids)
    model = rewrite(model, lambda edit: _fold_behind(edit, kept))
    model = rewrite(model, lambda edit: _shift_first(edit, kept))
    return rewrite(model, lambda edit: _fold_before(edit, kept))


def _split_norms(edit: Editing) -> None:
    """A batch norm is a factor and a shift a channel."""
    for node in edit:
        if node.op == "BatchNormalization" and not node.attributes.get("training_mode", 0):
            _split(edit, node)


def _split(edit: Editing, node: Node) -> None:
    x, name = node.inputs[0], node.outputs[0]
    arrays = [edit.constant(n) for n in node.inputs[1:]]
    gain, bias, mean, variance = (None if a is None else a.astype(np.float64) for a in arrays)
    rank = edit.rank(x) or _rank_of_conv(edit, x)
    if gain is None or bias is None or mean is None or variance is None or not rank:
        return
    with np.errstate(all="ignore"):  # a broken variance
        factor = gain / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    if not finite(factor, bias - mean * factor):
        return
    form, dtype = (-1, *(1,) * (rank - 2)), edit.constants[node.inputs[1]].dtype
    scale = edit.add_constant(f"{name}.scale", factor.reshape(form).astype(dtype))
    shift = edit.add_constant(f"{name}.shift", (bias - mean * factor).reshape(form).astype(dtype))
    scaled = edit.node("Mul", (x, scale), f"{name}.scaled")
    edit.replace(node, scaled, Node("Add", (scaled.outputs[0], shift), (name,), {}, node.name))


def _rank_of_conv(edit: Editing, name: str) -> int:
    maker = edit.maker(name, "Conv", "ConvTranspose")
    return edit.rank(maker.inputs[1]) or 0 if maker is not None else 0


# --- into a convolution ---------------------------------------------------------------------------


def _weights(edit: Editing, node: Node, kept: set[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """float64 weights, [output channels, ...] also of ConvTranspose's, and bias."""
    if node.inputs[1] in kept or edit.model.uses[node.inputs[1]] != 1:
        return None
    w = edit.constant(node.inputs[1])
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    if w is None or (node.op == "ConvTranspose" and node.attributes.get("group", 1) != 1):
        return None
    w = w.astype(np.float64)
    w = w.swapaxes(0, 1) if node.op == "ConvTranspose" else w
    bias = edit.constant(node.inputs[2]) if has_bias else np.zeros(len(w))
    if bias is None or not finite(w, bias):
        return None
    return w, bias.astype(np.float64)


def _write(edit: Editing, old: Node, conv: Node, x: str, w: np.ndarray, bias: np.ndarray) -> None:
    """Put a convolution of these weights where `old` was; nobody else reads them."""
    name = conv.inputs[1]
    dtype = edit.constants[name].dtype
    w = w.swapaxes(0, 1) if conv.op == "ConvTranspose" else w
    edit.constants[name] = np.ascontiguousarray(w.astype(dtype))
    shift = edit.add_constant(f"{name}.bias", bias.astype(dtype))
    edit.replace(old, Node(conv.op, (x, name, shift), old.outputs, conv.attributes, conv.name))


def _fold_behind(edit: Editing, kept: set[str]) -> None:
    for node in edit:
        for name in node.inputs[:2]:
            conv = edit.maker(name, "Conv", "ConvTranspose")
            if conv is None or edit.reader(name) is not node:
                continue
            found = affine(edit, node, edit.rank(conv.inputs[1]) or 0, 1)
            weights = _weights(edit, conv, kept)
            if found is not None and weights is not None and found.fits(len(weights[1])):
                w, bias = weights
                scale = np.broadcast_to(found.scale, bias.shape)
                w = w * scale.reshape(-1, *(1,) * (w.ndim - 1))
                bias = bias * scale + found.shift
                if finite(w, bias):
                    _write(edit, node, conv, conv.inputs[0], w, bias)
                break


def _shift_first(edit: Editing, kept: set[str]) -> None:
    """x scale + shift as (x + shift / scale) scale before padding, where a shift cannot be folded:
    the factor can."""
    for node in edit:
        if node.op != "Conv" or _without_padding(node) or _weights(edit, node, kept) is None:
            continue
        rank, total = edit.rank(node.inputs[1]) or 0, edit.maker(node.inputs[0])
        shifted = affine(edit, total, rank, 1)
        if total is None or shifted is None or edit.reader(node.inputs[0]) is not node:
            continue
        scaled = affine(edit, edit.maker(shifted.x), rank, 1)
        if scaled is None or edit.reader(shifted.x) is not total:
            continue
        if (shifted.scale != 1).any() or scaled.shift.any() or not scaled.scale.all():
            continue
        shift, like = shifted.shift / scaled.scale, node.inputs[0]
        if not finite(shift):
            continue
        form, dtype = (-1, *(1,) * (rank - 2)), edit.constants[node.inputs[1]].dtype
        moved, scale = (
            edit.add_constant(f"{like}.{part}", values.astype(dtype).reshape(form))
            for part, values in (("shift", shift), ("scale", scaled.scale))
        )
        first = edit.node("Add", (scaled.x, moved), f"{like}.shifted")
        edit.replace(total, first, Node("Mul", (*first.outputs, scale), total.outputs))


def _fold_before(edit: Editing, kept: set[str]) -> None:
    for node in edit:
        if node.op == "Conv":
            before = edit.maker(node.inputs[0])
            found = affine(edit, before, edit.rank(node.inputs[1]) or 0, 1)
            weights = _weights(edit, node, kept)
            if found is None or weights is None or edit.reader(node.inputs[0]) is not node:
                continue
            if found.shift.any() and not _without_padding(node):
                continue
            w, bias = weights
            scale, shift = (_by_input(node, w, part) for part in (found.scale, found.shift))
            if scale is None or shift is None:
                continue
            bias = bias + (w * shift).reshape(len(w), -1).sum(axis=1)
            if finite(w * scale, bias):
                _write(edit, node, node, found.x, w * scale, bias)


def _without_padding(conv: Node) -> bool:
    """Only then every element of the output sees a shift of the input through the whole kernel."""
    auto = conv.attributes.get("auto_pad", "NOTSET")
    return auto == "VALID" or (auto == "NOTSET" and not any(conv.attributes.get("pads", ())))


def _by_input(conv: Node, w: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """[rows or 1, input channels of a group or 1, 1...]: what the input's channels have, where w
    reads them."""
    groups, width = conv.attributes.get("group", 1), w.shape[1]
    spatial = (1,) * (w.ndim - 2)
    if len(values) == 1:
        return values.reshape(1, 1, *spatial)
    if len(values) != groups * width:
        return None
    by_group = np.repeat(values.reshape(groups, width), len(w) // groups, axis=0)
    return by_group.reshape(len(w), width, *spatial)
