"""Convolutions and poolings as edge's own, with channels last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.format.graph import Node

from .editing import Editing
from .layout import last, put, to_first, without_transpose
from .matrices import add_matrix

LANES = 16  # to a multiple of which channels of each tap are padded
FLOATS = (np.float32, np.float16)


@dataclass(frozen=True)
class Windows:
    """What a convolution sees of an image; a signal [N, L, C] is one of height 1.

    w     [rows, channels of a group, kernel height, kernel width]
    fold  elements of a signal that are channels of one
    """

    w: np.ndarray
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    signal: bool = False
    fold: int = 1

    @property
    def attributes(self) -> dict[str, Any]:
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations}

    @property
    def matrix(self) -> np.ndarray:
        """float32 [rows, kernel height x kernel width x channels padded to 16]."""
        rows, channels, *kernel = self.w.shape
        padded = np.zeros((rows, *kernel, -(-channels // LANES) * LANES), np.float32)
        padded[..., :channels] = self.w.transpose(0, 2, 3, 1)
        return padded.reshape(rows, -1)


def conv(edit: Editing, node: Node) -> None:
    """edge.Linear, edge.Conv or edge.Depthwise; those of other groups stay."""
    _, name, bias = (*node.inputs, "")[:3]
    w, added = edit.constant(name), edit.constant(bias)
    if w is None or w.dtype not in FLOATS or w.ndim not in (3, 4) or 0 in w.shape:
        return
    windows = _windows(edit, node, w)
    if windows is None or (bias and added is None):
        return
    groups = node.attributes.get("group", 1)
    if groups == 1 and w[0, 0].size == 1 and not any(windows.pads) and set(windows.strides) == {1}:
        _linear(edit, node, w.reshape(w.shape[:2]), added)
    elif groups == 1:
        windows = _folded(edit, node, windows)
        weight = add_matrix(edit, node, name, windows.matrix, added)
        _, channels, *kernel = windows.w.shape
        own = {"weight": weight, "kernel": tuple(kernel), "channels": channels}
        _put(edit, node, windows, "edge.Conv", (), {**own, **windows.attributes})
    elif groups == len(w) and w.shape[1] == 1:
        taps = np.ascontiguousarray(windows.w[:, 0].transpose(1, 2, 0), np.float32)
        inputs = [edit.add_constant(f"{name}.taps", taps)]
        if added is not None:
            inputs.append(edit.add_constant(f"{bias}.shift", added.astype(np.float32)))
        _put(edit, node, windows, "edge.Depthwise", inputs, windows.attributes)


def _windows(edit: Editing, node: Node, w: np.ndarray) -> Windows | None:
    """None where padding depends on sizes that are not known."""
    pads, spatial = _pads(edit, node, w.shape[2:]), w.ndim - 2
    if pads is None:
        return None
    strides = tuple(node.attributes.get("strides", (1,) * spatial))
    dilations = tuple(node.attributes.get("dilations", (1,) * spatial))
    if spatial == 2:
        return Windows(w, strides, pads, dilations)
    flat = (0, pads[0], 0, pads[1])
    return Windows(w[:, :, None], (1, *strides), flat, (1, *dilations), signal=True)


def _folded(edit: Editing, node: Node, windows: Windows) -> Windows:
    """A signal of few channels seen in whole runs: those become its channels, with no padding."""
    rows, channels, _, kernel = windows.w.shape
    shape, fold = edit.shape(node.inputs[0]), LANES // channels
    length = shape[2] if shape is not None else None
    runs = (kernel, windows.strides[1], windows.pads[1], windows.pads[3])
    if not windows.signal or fold < 2 or LANES % channels or windows.dilations != (1, 1):
        return windows
    if not isinstance(length, int) or any(size % fold for size in (length, *runs)):
        return windows
    by_run = windows.w.transpose(0, 3, 1, 2).reshape(rows, kernel // fold, LANES, 1)
    return Windows(
        by_run.transpose(0, 2, 3, 1),
        (1, windows.strides[1] // fold),
        tuple(pad // fold for pad in windows.pads),
        (1, 1),
        signal=True,
        fold=fold,
    )


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


def _pads(edit: Editing, node: Node, kernel: Sequence[int]) -> tuple[int, ...] | None:
    """Of each axis before, then of each behind; None where they depend on sizes not known."""
    rank, auto = len(kernel), node.attributes.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return tuple(node.attributes.get("pads", (0,) * (2 * rank)))
    if auto == "VALID":
        return (0,) * (2 * rank)
    strides = node.attributes.get("strides", (1,) * rank)
    dilations = node.attributes.get("dilations", (1,) * rank)
    shape = edit.shape(node.inputs[0])
    before, behind = [], []
    for i, stride in enumerate(strides):
        reach, size = dilations[i] * (kernel[i] - 1) + 1, shape[i + 2] if shape else None
        if stride == 1:
            total = reach - 1
        elif isinstance(size, int):
            total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        else:
            return None
        half = total // 2
        before.append(total - half if auto == "SAME_LOWER" else half)
        behind.append(total - before[-1])
    return (*before, *behind)


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
    pads = _pads(edit, node, kernel)
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
