"""Depthwise convolution and pooling."""

import numpy as np

from edge.format.graph import Node

from ..lowering import Lowering, handles
from ..sliding import Sliding, sliding_of
from ..storage import Place
from ..units.window import Window
from .moving import reshape


@handles("edge.Depthwise")
def depthwise(self: Lowering, node: Node) -> bool:
    x, weight = node.inputs[0], self.constant(node.inputs[1])
    bias = self.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if not self.is_float(x) or weight is None or weight.dtype != np.float32:
        return False
    kernel = weight.shape[0], weight.shape[1]
    channels = self.shape(x)[-1]
    if weight.shape[2:] != (channels,) or (bias is not None and bias.shape != (channels,)):
        raise self.broken(node, f"weights of {channels} channels", weight.shape)
    sliding = sliding_of(node, kernel, self.shape(x))
    source, out = self.at(x), self.new(node)
    self.add(Window("depthwise", source, out, sliding, weight, bias))
    return True


@handles("ReduceMean")
def reduce_mean(self: Lowering, node: Node) -> bool:
    """Over an image's height and width, or over axes of length 1."""
    x = node.inputs[0]
    axes = self.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if not self.is_float(x) or axes is None:
        return False
    if axes.size and all(self.shape(x)[axis] == 1 for axis in axes.tolist()):
        return reshape(self, node)
    if len(self.shape(x)) != 4 or sorted(axis % 4 for axis in axes.tolist()) != [1, 2]:
        return False
    n, height, width, channels = self.shape(x)
    source, out = self.at(x), self.new(node)
    image = Place(out.buffer, (n, 1, 1, channels))
    self.add(Window("average", source, image, Sliding((height, width))))
    return True


@handles("edge.MaxPool", "edge.AveragePool")
def pool(self: Lowering, node: Node) -> bool:
    x, a = node.inputs[0], node.attributes
    if not self.is_float(x):
        return False
    sliding = sliding_of(node, a["kernel"], self.shape(x))
    counted = sliding.kernel[0] * sliding.kernel[1] if a.get("count_include_pad") else 0
    if counted and a.get("ceil_mode"):
        return False  # places beyond the padding do not count
    source, out = self.at(x), self.new(node)
    kind = "max" if node.op == "edge.MaxPool" else "average"
    self.add(Window(kind, source, out, sliding, counted=counted))
    return True
