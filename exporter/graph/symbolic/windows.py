"""How convolutions, poolings and Resize shape their outputs; part of shapes.py."""

from collections.abc import Sequence

from edge.format.graph import Node

from .dimensions import Dim, Shape, add, divide, multiply, subtract, unknown
from .shapes import Shapes, rule

Shaped = Sequence[Shape | None]


def windows(size: Dim, kernel: Dim, stride: int, pads: int, dilation: int, up: bool = False) -> Dim:
    """How often a kernel fits; `up`: also where it reaches beyond the end."""
    reach = add(multiply(subtract(kernel, 1), dilation), 1)
    room = subtract(add(size, pads), reach)
    return add(divide(add(room, stride - 1 if up else 0), stride), 1)


def _pooled(node: Node, sizes: Shape, kernel: Sequence[Dim]) -> Shape:
    """The spatial axes of a convolution or a pooling."""
    rank = len(sizes)
    strides = node.attributes.get("strides", (1,) * rank)
    dilations = node.attributes.get("dilations", (1,) * rank)
    pads = node.attributes.get("pads", (0,) * (2 * rank))
    auto, name = node.attributes.get("auto_pad", "NOTSET"), node.outputs[0]
    if auto.startswith("SAME"):
        return tuple(divide(add(d, t - 1), t) for d, t in zip(sizes, strides, strict=True))
    if auto == "VALID":
        pads = (0,) * (2 * rank)
    up = bool(node.attributes.get("ceil_mode", 0))
    if up and any(pads):  # a window that begins in the padding behind is left out
        return tuple(unknown(name, axis + 2) for axis in range(rank))
    return tuple(
        windows(sizes[i], kernel[i], strides[i], pads[i] + pads[i + rank], dilations[i], up)
        for i in range(rank)
    )


@rule("Conv")
def conv(s: Shapes, node: Node) -> Shaped:
    x, w = s.of(node.inputs[0]), s.of(node.inputs[1])
    if x is None or w is None:
        return [None]
    return [(x[0], w[0], *_pooled(node, x[2:], w[2:]))]


@rule("MaxPool", "AveragePool", "LpPool")
def pool(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if x is None:
        return [None]
    found = (x[0], x[1], *_pooled(node, x[2:], node.attributes["kernel_shape"]))
    return [found] * len(node.outputs)


@rule("edge.MaxPool", "edge.AveragePool")
def own_pool(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if x is None:
        return [None]
    return [(x[0], *_pooled(node, x[1:3], node.attributes["kernel"]), x[3])]


@rule("edge.Conv")
def own_conv(s: Shapes, node: Node) -> Shaped:
    x, rows = s.of(node.inputs[0]), len(s.matrices[node.attributes["weight"]].weight)
    if x is None:
        return [None]
    return [(x[0], *_pooled(node, x[1:3], node.attributes["kernel"]), rows)]


@rule("edge.Depthwise")
def depthwise(s: Shapes, node: Node) -> Shaped:
    x, w = s.of(node.inputs[0]), s.of(node.inputs[1])
    if x is None or w is None:
        return [None]
    return [(x[0], *_pooled(node, x[1:3], w[:2]), x[3])]


@rule("ConvTranspose")
def conv_transpose(s: Shapes, node: Node) -> Shaped:
    x, w = s.of(node.inputs[0]), s.of(node.inputs[1])
    if x is None or w is None:
        return [None]
    channels = multiply(w[1], node.attributes.get("group", 1))
    return [(x[0], channels, *(unknown(node.outputs[0], i) for i in range(2, len(x))))]


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    return [None if x is None else (*x[:2], *(1 for _ in x[2:]))]


@rule("Resize")
def resize(s: Shapes, node: Node) -> Shaped:
    x, name = s.of(node.inputs[0]), node.outputs[0]
    if x is None:
        return [None]
    axes = [axis % len(x) for axis in node.attributes.get("axes", range(len(x)))]
    shape = [unknown(name, axis) if axis in axes else d for axis, d in enumerate(x)]
    return [tuple(_resized(s, node, x, axes) or shape)]


def _resized(s: Shapes, node: Node, x: Shape, axes: list[int]) -> list[Dim] | None:
    inputs, shape = (*node.inputs, "", "", ""), list(x)
    sizes = s.elements_of(inputs[3]) if inputs[3] else None
    scales = s.constants.get(inputs[2])
    if (
        sizes is not None
        and node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return None
    if sizes is None and (scales is None or any(scale % 1 for scale in scales.ravel())):
        return None
    for i, axis in enumerate(axes):
        if sizes is not None:
            shape[axis] = sizes[i]
        elif scales is not None:
            shape[axis] = multiply(x[axis], int(scales[i]))
    return shape
