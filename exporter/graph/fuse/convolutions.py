"""Convolutions and poolings as edge's own, with channels last."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.format.graph import Node

from .editing import Editing
from .grouped import grouped, repeated
from .layout import last, put, to_first, without_transpose
from .matrices import add_matrix
from .windows import LANES, Windows, folded, padding, windows_of

FLOATS = (np.float32, np.float16)


def conv(edit: Editing, node: Node) -> None:
    """edge.Linear, edge.Conv or edge.Depthwise, or several side by side."""
    _, name, bias = (*node.inputs, "")[:3]
    w, added = edit.constant(name), edit.constant(bias)
    if w is None or w.dtype not in FLOATS or w.ndim not in (3, 4) or 0 in w.shape:
        return
    windows = windows_of(edit, node, w)
    if windows is None or (bias and added is None):
        return
    groups = node.attributes.get("group", 1)
    if groups == 1 and windows.is_point:
        _linear(edit, node, w.reshape(w.shape[:2]), added)
    elif groups == 1:
        windows = folded(edit, node, windows)
        weight = add_matrix(edit, node, name, windows.matrix, added)
        _, channels, *kernel = windows.w.shape
        own = {"weight": weight, "kernel": tuple(kernel), "channels": channels}
        _put(edit, node, windows, "edge.Conv", (), {**own, **windows.attributes})
    elif w.shape[1] == 1:
        taps = np.ascontiguousarray(windows.w[:, 0].transpose(1, 2, 0), np.float32)
        inputs = [edit.add_constant(f"{name}.taps", taps)]
        if added is not None:
            inputs.append(edit.add_constant(f"{bias}.shift", added.astype(np.float32)))
        _put(edit, node, windows, "edge.Depthwise", inputs, windows.attributes)
    else:
        grouped(edit, node, windows, added, groups)


def _linear(edit: Editing, node: Node, matrix: np.ndarray, bias: np.ndarray | None) -> None:
    rank = edit.constants[node.inputs[1]].ndim
    x, before = last(edit, node.inputs[0], rank)
    weight = add_matrix(edit, node, node.inputs[1], matrix, bias)
    put(edit, node, before, "edge.Linear", (x,), [to_first(rank)], weight=weight)


def _put(
    edit: Editing,
    node: Node,
    windows: Windows,
    op: str,
    constants: Sequence[str],
    attributes: Mapping[str, Any],
) -> None:
    like = node.outputs[0]
    x, before = last(edit, node.inputs[0], 3 if windows.signal else 4)
    times = len(windows.w) // node.attributes.get("group", 1)
    if op == "edge.Depthwise" and times > 1:
        before.append(repeated(edit, x, len(windows.w), times, axis=2 if windows.signal else 3))
        x = before[-1].outputs[0]
    if not windows.signal:
        put(edit, node, before, op, (x, *constants), [to_first(4)], **attributes)
        return
    axes = edit.add_integers(f"{like}.axes", [1])
    if windows.fold > 1:
        form = edit.add_integers(f"{like}.runs", (0, 1, -1, LANES))
        image = edit.node("Reshape", (x, form), f"{x}.image")
    else:
        image = edit.node("Unsqueeze", (x, axes), f"{x}.image")
    y = edit.node(op, (image.outputs[0], *constants), f"{like}.image", **attributes)
    put(edit, node, [*before, image, y], "Squeeze", (y.outputs[0], axes), [to_first(3)])


def conv_transpose(edit: Editing, node: Node) -> None:
    """One whose kernels do not overlap: a product, and its rows put where they belong."""
    x, name, bias = (*node.inputs, "")[:3]
    w, added = edit.constant(name), edit.constant(bias)
    if w is None or w.ndim != 4 or w.dtype not in FLOATS:
        return
    block, attributes = w.shape[2:], node.attributes
    plain = attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
    plain = plain and not any(attributes.get("pads", ()))
    plain = plain and not any(attributes.get("output_padding", ()))
    plain = plain and set(attributes.get("dilations", (1,))) == {1} and block != (1, 1)
    plain = plain and tuple(attributes.get("strides", (1, 1))) == block
    if not plain or attributes.get("group", 1) != 1 or "output_shape" in attributes:
        return
    if bias and added is None:
        return
    matrix = w.transpose(2, 3, 1, 0).reshape(-1, len(w))
    rows = None if added is None else np.tile(added, block[0] * block[1])
    weight = add_matrix(edit, node, name, matrix, rows)
    x, before = last(edit, x, 4)
    product = edit.node("edge.Linear", (x,), f"{node.outputs[0]}.rows", weight=weight)
    inputs, nodes = product.outputs, [*before, product]
    put(edit, node, nodes, "edge.DepthToSpace", inputs, [to_first(4)], block=block)


def depth_to_space(edit: Editing, node: Node) -> None:
    source, size = without_transpose(edit, node.inputs[0]), node.attributes["blocksize"]
    if source is not None and node.attributes.get("mode", "DCR") == "DCR":
        block = (size, size)
        put(edit, node, [], "edge.DepthToSpace", (source,), [to_first(4)], block=block)


def pool(edit: Editing, node: Node) -> None:
    """MaxPool and AveragePool of images whose channels are last already."""
    source, kernel = without_transpose(edit, node.inputs[0]), node.attributes["kernel_shape"]
    given = node.attributes
    if source is None or len(kernel) != 2 or len([n for n in node.outputs if n]) > 1:
        return
    pads = padding(edit, node, kernel)
    if pads is None or given.get("storage_order", 0):
        return
    own: dict[str, Any] = {
        "kernel": tuple(kernel),
        "strides": tuple(given.get("strides", (1, 1))),
        "pads": pads,
        "dilations": tuple(given.get("dilations", (1, 1))),
        "ceil_mode": given.get("ceil_mode", 0),
    }
    if node.op == "AveragePool":
        own["count_include_pad"] = given.get("count_include_pad", 0)
    put(edit, node, [], f"edge.{node.op}", (source,), [to_first(4)], **own)
