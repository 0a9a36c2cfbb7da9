"""Convolutions with their channels last, and what is around them."""

from collections.abc import Callable

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from ..symbolic.dimensions import as_reshape
from ..symbolic.rules import BROADCAST, REDUCE
from .cleanup import UNARY, merge_transposes, tidy
from .convolutions import conv, conv_transpose, depth_to_space, pool
from .cuts import cut_before_transpose, without_axes
from .editing import Editing, rewrite
from .grouped import shuffle
from .layout import (
    RANKS,
    before_transpose,
    constant_last,
    last,
    moved,
    put,
    to_first,
    to_last,
    without_transpose,
)

AXIS = {"Softmax", "LogSoftmax", "Concat"}  # have one axis, and keep the order of axes
GLOBAL = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}


def channels_last(model: GraphModel) -> GraphModel:
    """Transposes are left at inputs and outputs, and where axes are taken apart or joined."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        rule = RULES.get(node.op)
        if rule is not None:
            rule(edit, node)
    if not edit.model.changed:
        tidy(edit)


def _turned(edit: Editing, node: Node) -> tuple[str, int] | None:
    """The first input before it was transposed, and its rank."""
    source = without_transpose(edit, node.inputs[0])
    rank = None if source is None else edit.rank(source)
    return None if source is None or rank is None else (source, rank)


def _unary(edit: Editing, node: Node) -> None:
    found = _turned(edit, node)
    if found is not None:
        (x, rank), numbers = found, node.inputs[1:]
        put(edit, node, [], node.op, (x, *numbers), [to_first(rank)], **node.attributes)


def _elementwise(edit: Editing, node: Node) -> None:
    """Where one input at least has been transposed, and the others can be as well."""
    sources = [without_transpose(edit, name) for name in node.inputs]
    ranks = {edit.rank(source) for source in sources if source is not None}
    rank = next(iter(ranks), None)
    if len(ranks) != 1 or rank is None:
        return
    inputs, before = [], []
    for name in node.inputs:
        constant = edit.constant(name)
        if constant is not None and constant.ndim <= rank:
            inputs.append(constant_last(edit, name, rank))
        elif constant is None and edit.rank(name) == rank:
            source, added = last(edit, name, rank)
            inputs.append(source)
            before += [new for new in added if new not in before]
        else:
            return
    put(edit, node, before, node.op, inputs, [to_first(rank)], **node.attributes)


def _along_axis(edit: Editing, node: Node) -> None:
    sources = [without_transpose(edit, n) for n in node.inputs if edit.constant(n) is None]
    ranks = {edit.rank(source) for source in sources if source is not None}
    rank = next(iter(ranks), None)
    if len(ranks) != 1 or rank is None:
        return
    axis = moved(node.attributes.get("axis", -1), rank)
    inputs, before = [], []
    data = node.inputs if node.op == "Concat" else node.inputs[:1]
    for name in data:
        constant = edit.constant(name)
        if constant is not None:
            turned = np.ascontiguousarray(constant.transpose(to_last(rank)))
            inputs.append(edit.add_constant(f"{name}.last", turned))
            continue
        source, added = last(edit, name, rank)
        inputs.append(source)
        before += [new for new in added if new not in before]
    attributes = {**node.attributes, "axis": axis}
    put(edit, node, before, node.op, inputs, [to_first(rank)], **attributes)


def _pad(edit: Editing, node: Node) -> None:
    found, (_, pads, value, axes) = _turned(edit, node), (*node.inputs, "", "")[:4]
    known = edit.integers(axes) if axes else None
    if found is None or (axes and known is None):
        return
    x, rank = found
    listed = range(rank) if known is None else known
    at = edit.add_integers(f"{node.outputs[0]}.axes", [moved(axis, rank) for axis in listed])
    put(edit, node, [], "Pad", (x, pads, value, at), [to_first(rank)], **node.attributes)


def _resize(edit: Editing, node: Node) -> None:
    found = _turned(edit, node)
    if found is None:
        return
    x, rank = found
    axes = [moved(axis, rank) for axis in node.attributes.get("axes", range(rank))]
    attributes = {**node.attributes, "axes": tuple(axes)}
    put(edit, node, [], "Resize", (x, *node.inputs[1:]), [to_first(rank)], **attributes)


def _reduce(edit: Editing, node: Node) -> None:
    found = _turned(edit, node)
    given = len(node.inputs) > 1 and bool(node.inputs[1])
    axes = edit.integers(node.inputs[1]) if given else ()
    if found is None or axes is None or (not axes and node.attributes.get("noop_with_empty_axes")):
        return
    x, rank = found
    gone = {axis % rank for axis in axes} or set(range(rank))
    _reduced(edit, node, node.op, x, rank, gone)


def _global_pool(edit: Editing, node: Node) -> None:
    found = _turned(edit, node)
    if found is not None:
        x, rank = found
        _reduced(edit, node, GLOBAL[node.op], x, rank, set(range(2, rank)))


def _reduced(edit: Editing, node: Node, op: str, x: str, rank: int, gone: set[int]) -> None:
    at = edit.add_integers(f"{node.outputs[0]}.axes", sorted(moved(a, rank) for a in gone))
    keepdims = node.attributes.get("keepdims", 1)
    perm = to_first(rank) if keepdims else without_axes(to_first(rank), gone)
    put(edit, node, [], op, (x, at), [perm], keepdims=keepdims)


def _reshape(edit: Editing, node: Node) -> None:
    """One that leaves the batch and the channels alone, or the end of a shuffle of them."""
    if shuffle(edit, node):
        return
    before, after = edit.shape(node.inputs[0]), edit.shape(node.outputs[0])
    x = before_transpose(edit, node.inputs[0])
    if x is None or before is None or after is None or len(after) not in RANKS:
        return
    if before[:2] != after[:2] or len(before) == len(after):
        return
    target = as_reshape(edit.shape(x) or (), (after[0], *after[2:], after[1]))
    if target is not None:
        shape = edit.add_integers(f"{node.outputs[0]}.shape", target)
        put(edit, node, [], "Reshape", (x, shape), [to_first(len(after))])


def _shape(edit: Editing, node: Node) -> None:
    """Nothing is transposed only to see its shape."""
    found = _turned(edit, node)
    if found is None:
        return
    x, rank = found
    start, end = node.attributes.get("start", 0), node.attributes.get("end", rank)
    axes = edit.add_integers(f"{node.outputs[0]}.axes", to_first(rank)[start:end])
    sizes = edit.node("Shape", (x,), f"{node.outputs[0]}.last")
    edit.replace(node, sizes, Node("Gather", (sizes.outputs[0], axes), node.outputs, {"axis": 0}))


RULES: dict[str, Callable[[Editing, Node], object]] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(BROADCAST, _elementwise),
    **dict.fromkeys(AXIS, _along_axis),
    **dict.fromkeys(REDUCE, _reduce),
    **dict.fromkeys(GLOBAL, _global_pool),
    "Slice": cut_before_transpose,
    "Split": cut_before_transpose,
    "Pad": _pad,
    "Resize": _resize,
    "Squeeze": cut_before_transpose,
    "Reshape": _reshape,
    "Shape": _shape,
    "Transpose": merge_transposes,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": depth_to_space,
    "MaxPool": pool,
    "AveragePool": pool,
}
