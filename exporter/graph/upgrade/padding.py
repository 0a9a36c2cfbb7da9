"""Padding: as inputs of Pad, and of convolutions and pooling by name ("SAME_UPPER") in numbers."""

from dataclasses import replace

from edge.format.graph import Node

from ..rewriting import Rewriting
from .registry import upgrades, without

WINDOWED = ("Conv", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool")
WEIGHTS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}  # which input they are


@upgrades("Pad", before=11)
def pad(node: Node, at: Rewriting) -> list[Node]:
    pads = at.constant(node.attributes["pads"], f"{node.outputs[0]}.pads")
    dtype = at.dtype(node.inputs[0]) or "float32"
    value = at.constant(node.attributes.get("value", 0.0), f"{node.outputs[0]}.value", dtype)
    inputs = (node.inputs[0], pads, value)
    return [replace(node, inputs=inputs, attributes=without(node, "pads", "value"))]


@upgrades(*WINDOWED)
def explicit_pads(node: Node, at: Rewriting) -> list[Node]:
    """Numbers where they can be known; else the name stays."""
    rule = node.attributes.get("auto_pad", "NOTSET")
    rest = without(node, "auto_pad")
    if rule == "NOTSET":
        return [replace(node, attributes=rest)]
    rest.pop("pads", None)
    kernel = _kernel(node, at)
    if kernel is None:
        return [node]
    pads = [0] * 2 * len(kernel) if rule == "VALID" else _same(node, at, kernel)
    return [node if pads is None else replace(node, attributes=rest | {"pads": tuple(pads)})]


def _kernel(node: Node, at: Rewriting) -> tuple[int, ...] | None:
    """The window's sizes."""
    if "kernel_shape" in node.attributes:
        kernel: tuple[int, ...] = node.attributes["kernel_shape"]
        return kernel
    sizes = at.sizes(node.inputs[WEIGHTS[node.op]]) if node.op in WEIGHTS else None
    found = tuple(size for size in (sizes or ())[2:] if size is not None)
    return found if sizes is not None and len(found) == len(sizes) - 2 else None


def _same(node: Node, at: Rewriting, kernel: tuple[int, ...]) -> list[int] | None:
    """So that there is an output for every stride: before, then after, each axis."""
    axes = len(kernel)
    strides, dilations = (node.attributes.get(key, (1,) * axes) for key in ("strides", "dilations"))
    sizes = (at.sizes(node.inputs[0]) or (None,) * (axes + 2))[2:]
    totals = []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (window - 1) * dilation + 1
        if size is None and stride != 1:
            return None
        outside = reach - stride if size is None or size % stride == 0 else reach - size % stride
        totals.append(max(outside, 0))
    small, large = [t // 2 for t in totals], [-(-t // 2) for t in totals]
    upper = node.attributes["auto_pad"] == "SAME_UPPER"
    return [*small, *large] if upper else [*large, *small]
