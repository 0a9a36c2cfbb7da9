"""Shapes of what frequent or costly operators make, without running them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edge.format.graph import Node

from .sliding import sliding_of

Shape = tuple[int, ...]
Found = list[tuple[Shape, np.dtype[Any]]] | None  # of each output


def _linear(node: Node, inputs: list[Any], matrices: Any) -> Found:
    rows, _ = matrices.shape(node.attributes["weight"])
    return [((*inputs[0].shape[:-1], rows), inputs[0].dtype)]


def _conv(node: Node, inputs: list[Any], matrices: Any) -> Found:
    rows, _ = matrices.shape(node.attributes["weight"])
    return [(_slid(node, inputs[0].shape, node.attributes["kernel"], rows), inputs[0].dtype)]


def _depthwise(node: Node, inputs: list[Any], matrices: Any) -> Found:
    x, w = inputs[:2]
    return [(_slid(node, x.shape, w.shape[:2], x.shape[-1]), x.dtype)]


def _pool(node: Node, inputs: list[Any], matrices: Any) -> Found:
    shape, kernel = inputs[0].shape, node.attributes["kernel"]
    found = _slid(node, shape, kernel, shape[-1])
    return None if node.attributes.get("ceil_mode") else [(found, inputs[0].dtype)]


def _slid(node: Node, shape: Shape, kernel: Shape, channels: int) -> Shape:
    """[N, H', W', channels] of [N, H, W, C]."""
    places = sliding_of(node, kernel, shape).places(*shape[1:3])
    return shape[0], *places, channels


def _embedding(node: Node, inputs: list[Any], matrices: Any) -> Found:
    _, columns = matrices.shape(node.attributes["weight"])
    return [((*inputs[0].shape, columns), np.dtype(np.float32))]


def _attention(node: Node, inputs: list[Any], matrices: Any) -> Found:
    q, v = inputs[0], inputs[2]
    width = v.shape[2] // node.attributes["kv_heads"] * node.attributes["heads"]
    return [((*q.shape[:2], width), q.dtype)]


def _recurrent(node: Node, inputs: list[Any], matrices: Any) -> Found:
    if len(inputs[0].shape) != 3:  # the operator itself says so
        return None
    steps, batch, _ = inputs[0].shape
    last = batch, matrices.shape(node.attributes["weight"])[1]
    return [(shape, inputs[0].dtype) for shape in ((steps, *last), last, last)]


def _same(node: Node, inputs: list[Any], matrices: Any) -> Found:
    return [(inputs[0].shape, inputs[0].dtype)]


def _broadcast(node: Node, inputs: list[Any], matrices: Any) -> Found:
    try:
        return [(np.broadcast_shapes(*(x.shape for x in inputs)), inputs[0].dtype)]
    except ValueError:  # the operator itself says what does not fit
        return None


def _transposed(node: Node, inputs: list[Any], matrices: Any) -> Found:
    shape = inputs[0].shape
    axes = node.attributes.get("perm", tuple(reversed(range(len(shape)))))
    return [(tuple(shape[axis] for axis in axes), inputs[0].dtype)]


SHAPES: dict[str, Callable[[Node, list[Any], Any], Found]] = {
    "edge.Linear": _linear,
    "edge.Conv": _conv,
    "edge.Depthwise": _depthwise,
    "edge.MaxPool": _pool,
    "edge.AveragePool": _pool,
    "edge.Attention": _attention,
    "edge.Embedding": _embedding,
    "edge.LSTM": _recurrent,
    "edge.GRU": _recurrent,
    "Transpose": _transposed,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"), _broadcast),
    **dict.fromkeys(
        (
            *("Relu", "Sigmoid", "Tanh", "Exp", "Sqrt", "Neg", "Abs", "Reciprocal", "Clip", "Erf"),
            *("HardSigmoid", "HardSwish", "Gelu", "Swish", "LeakyRelu", "Softmax", "Mish"),
        ),
        _same,
    ),
}
