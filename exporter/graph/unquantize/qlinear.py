"""Operators on codes (QLinearConv, QGemm, ...) as DequantizeLinear, the float operator, QuantizeLinear."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge.format.graph import Node

from .draft import Draft

OWN = ("channels_last", "opset")  # attributes that the float operator does not have


def dequantize(draft: Draft, node: Node, at: int, axis: int | None = None) -> tuple[Node, str]:
    """Of the input at `at`, whose scale and zero point follow it: a node, and the value it makes.

    `axis` where scales are of channels.
    """
    value, scale, zero = node.inputs[at : at + 3]
    output = draft.fresh(f"{value}_float")
    inputs = (value, scale, zero) if zero else (value, scale)
    attributes = {} if axis is None else {"axis": axis}
    return Node("DequantizeLinear", inputs, (output,), attributes), output


def quantize(draft: Draft, float_name: str, scale: str, zero: str, output: str) -> Node:
    inputs = (float_name, scale, zero) if zero else (float_name, scale)
    return Node("QuantizeLinear", inputs, (output,), {})


@dataclass(frozen=True)
class Operands:
    """Where the float operator's inputs lie among an operator's: each before its scale and zero."""

    op: str
    inputs: tuple[int, ...]
    output: int  # of its scale


def _rewrite(draft: Draft, node: Node, form: Operands) -> list[Node] | None:
    if any(int(node.attributes.get(name, 0)) for name in OWN[:1]):
        return None
    nodes, operands = [], []
    for at in form.inputs:
        new, name = dequantize(draft, node, at)
        nodes.append(new)
        operands.append(name)
    attributes = {k: v for k, v in node.attributes.items() if k not in OWN}
    middle = draft.fresh(f"{node.outputs[0]}_float")
    nodes.append(Node(form.op, tuple(operands), (middle,), attributes, node.name))
    scale, zero = _pair(node, form.output)
    return [*nodes, quantize(draft, middle, scale, zero, node.outputs[0])]


def _pair(node: Node, at: int) -> tuple[str, str]:
    found = (*node.inputs, "", "")
    return found[at], found[at + 1]


def _concat(draft: Draft, node: Node) -> list[Node] | None:
    """Its scale and zero come first, then those of each input."""
    if len(node.inputs) % 3 != 2:
        return None
    nodes, operands = [], []
    for at in range(2, len(node.inputs), 3):
        new, name = dequantize(draft, node, at)
        nodes.append(new)
        operands.append(name)
    middle = draft.fresh(f"{node.outputs[0]}_float")
    nodes.append(Node("Concat", tuple(operands), (middle,), dict(node.attributes), node.name))
    return [*nodes, quantize(draft, middle, *_pair(node, 0), node.outputs[0])]


def _conv(draft: Draft, node: Node) -> list[Node] | None:
    bias = _bias(draft, node, 8, (node.inputs[1], node.inputs[4]))
    if bias is None:
        return None
    x_node, x_name = dequantize(draft, node, 0)
    w_node, w_name = dequantize(draft, node, 3, axis=0)
    middle = draft.fresh(f"{node.outputs[0]}_float")
    inputs = (x_name, w_name, *bias)
    conv = Node("Conv", inputs, (middle,), dict(node.attributes), node.name)
    return [x_node, w_node, conv, quantize(draft, middle, *_pair(node, 6), node.outputs[0])]


def _matmul(draft: Draft, node: Node) -> list[Node] | None:
    """Scales of b may be of its columns; of a they are of all, as every tool writes it."""
    scale = draft.constant(node.inputs[1])
    if scale is None or scale.size > 1:
        return None
    a_node, a_name = dequantize(draft, node, 0)
    b_node, b_name = dequantize(draft, node, 3, axis=-1)
    middle = draft.fresh(f"{node.outputs[0]}_float")
    product = Node("MatMul", (a_name, b_name), (middle,), {}, node.name)
    return [a_node, b_node, product, quantize(draft, middle, *_pair(node, 6), node.outputs[0])]


def _gemm(draft: Draft, node: Node) -> list[Node] | None:
    """com.microsoft.QGemm; without a scale of its output that is float."""
    bias = _bias(draft, node, 6, (node.inputs[1], node.inputs[4]))
    if bias is None or float(node.attributes.get("alpha", 1.0)) != 1.0:
        return None
    across = int(node.attributes.get("transB", 0))
    a_node, a_name = dequantize(draft, node, 0)
    b_node, b_name = dequantize(draft, node, 3, axis=0 if across else 1)
    scale, zero = _pair(node, 7) if len(node.inputs) > 7 else ("", "")
    middle = draft.fresh(f"{node.outputs[0]}_float") if scale else node.outputs[0]
    gemm = Node("Gemm", (a_name, b_name, *bias), (middle,), dict(node.attributes), node.name)
    end = [quantize(draft, middle, scale, zero, node.outputs[0])] if scale else []
    return [a_node, b_node, gemm, *end]


def _bias(draft: Draft, node: Node, at: int, scales: Sequence[str]) -> tuple[str, ...] | None:
    """The float bias of int32 codes, whose scale is the product of the others; None if unknown."""
    if len(node.inputs) <= at or not node.inputs[at]:
        return ()
    arrays = [draft.constant(name) for name in (node.inputs[at], *scales)]
    if any(array is None for array in arrays):
        return None
    codes, x_scale, w_scale = (np.asarray(array) for array in arrays)
    if x_scale.size != 1 or w_scale.size not in (1, codes.size):
        return None
    values = codes.astype(np.float32) * (x_scale * w_scale).astype(np.float32).reshape(-1)
    return (draft.add_constant(values, f"{node.inputs[at]}_float"),)


def _of(
    op: str, inputs: tuple[int, ...], output: int
) -> Callable[[Draft, Node], list[Node] | None]:
    return partial(_rewrite, form=Operands(op, inputs, output))


QLINEAR_OPS: dict[str, Callable[[Draft, Node], list[Node] | None]] = {
    "QLinearConv": _conv,
    "QLinearMatMul": _matmul,
    "com.microsoft.QGemm": _gemm,
    "com.microsoft.QLinearConcat": _concat,
    "com.microsoft.QLinearAdd": _of("Add", (0, 3), 6),
    "com.microsoft.QLinearMul": _of("Mul", (0, 3), 6),
    "com.microsoft.QLinearSigmoid": _of("Sigmoid", (0,), 3),
    "com.microsoft.QLinearLeakyRelu": _of("LeakyRelu", (0,), 3),
    "com.microsoft.QLinearSoftmax": _of("Softmax", (0,), 3),
    "com.microsoft.QLinearAveragePool": _of("AveragePool", (0,), 3),
    "com.microsoft.QLinearGlobalAveragePool": _of("GlobalAveragePool", (0,), 3),
    "com.microsoft.QLinearReduceMean": _of("ReduceMean", (0,), 3),
}
