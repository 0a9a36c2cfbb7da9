"""Products of integers that were quantized at run time, as the float product they stand for."""

from collections.abc import Callable

import numpy as np

from edge.format.graph import Node

from ..grid import fits
from .draft import Draft


def _operand(draft: Draft, name: str) -> str | None:
    """The float value that a DynamicQuantizeLinear has made codes of."""
    maker = draft.maker(name)
    is_dynamic = maker is not None and maker.op == "DynamicQuantizeLinear"
    is_dynamic = is_dynamic and maker is not None and len(maker.outputs) == 3
    return maker.inputs[0] if is_dynamic and maker is not None else None


def _weights(
    draft: Draft, codes: str, scale: str, zero: str, axis: int
) -> tuple[list[Node], str] | None:
    """DequantizeLinear of a constant; what is a channel's may have more axes, of one."""
    scales = draft.constant(scale)
    if draft.constant(codes) is None or scales is None:
        return None
    if scales.ndim > 1:
        scale = draft.add_constant(scales.reshape(-1), f"{scale}_flat")
    zero = _alike(draft, zero, draft.constants[scale])
    zeros = draft.constants[zero] if zero else None
    if not fits(draft.constants[codes], draft.constants[scale], zeros, axis):
        return None
    output = draft.fresh(f"{codes}_float")
    inputs = (codes, scale, zero) if zero else (codes, scale)
    return [Node("DequantizeLinear", inputs, (output,), {"axis": axis})], output


def _alike(draft: Draft, zero: str, scales: np.ndarray) -> str:
    """A zero point for each scale."""
    found = draft.constant(zero)
    if found is None or found.size != 1 or found.shape == scales.shape:
        return zero if found is not None else ""
    return draft.add_constant(np.broadcast_to(found, scales.shape).copy(), f"{zero}_each")


def _scaled(op: str, axis: int, draft: Draft, node: Node) -> list[Node] | None:
    """The Mul that follows a MatMulInteger's (or ConvInteger's) Cast.

    Mul(Cast(MatMulInteger(DynamicQuantizeLinear(x), W)), Mul(scale of x, scale of W)), the factors
    of both Mul in any order.
    """
    for value, scale in (node.inputs, node.inputs[::-1]):
        cast = draft.maker(value)
        product = draft.maker(cast.inputs[0]) if cast and cast.op == "Cast" else None
        product, bias = _without_bias(draft, product, op)
        both = draft.maker(scale)
        if product is None or product.op != op or len(product.inputs) < 2:
            continue
        if both is None or both.op != "Mul":
            continue
        x = _operand(draft, product.inputs[0])
        if x is None:
            return None
        codes = draft.maker(product.inputs[0])
        assert codes is not None
        other = [name for name in both.inputs if name != codes.outputs[1]]
        operands = x, *bias
        return _product(draft, node, product, operands, other, axis) if len(other) == 1 else None
    return None


ROUNDED_BIAS = "Reshape", "Cast", "Floor", "Div"  # the last one's first input is the bias


def _without_bias(
    draft: Draft, product: Node | None, op: str
) -> tuple[Node | None, tuple[str, ...]]:
    """A ConvInteger in place of its sum with a bias, as ONNX Runtime before 1.8 has it.

    Add(ConvInteger(...), Reshape(Cast(Floor(Div(bias, Mul(scale of x, scale of W))))))
    """
    if product is None or product.op != "Add" or op != "ConvInteger":
        return product, ()
    for value, other in (product.inputs, product.inputs[::-1]):
        for step in ROUNDED_BIAS:
            maker = draft.maker(other)
            if maker is None or maker.op != step:
                break
            other = maker.inputs[0]
        else:
            found = draft.constant(other)
            if found is not None and found.ndim == 1 and found.dtype == np.float32:
                return draft.maker(value), (other,)
    return None, ()


def _product(
    draft: Draft,
    node: Node,
    product: Node,
    operands: tuple[str, ...],
    other: list[str],
    axis: int,
) -> list[Node] | None:
    """`operands`: the float input, and a bias where there is one."""
    x, *bias = operands
    op = product.op.removesuffix("Integer")
    between = _operand(draft, product.inputs[1])
    if between is not None:
        inputs = x, between, *bias
        return [Node(op, inputs, node.outputs, dict(product.attributes), product.name)]
    zero = product.inputs[3] if len(product.inputs) > 3 else ""
    found = _weights(draft, product.inputs[1], other[0], zero, axis)
    if found is None:
        return None
    nodes, w = found
    return [*nodes, Node(op, (x, w, *bias), node.outputs, dict(product.attributes), product.name)]


def _mul(draft: Draft, node: Node) -> list[Node] | None:
    found = _scaled("MatMulInteger", -1, draft, node)
    return _scaled("ConvInteger", 0, draft, node) if found is None else found


def _dynamic_matmul(draft: Draft, node: Node) -> list[Node] | None:
    """com.microsoft.DynamicQuantizeMatMul: A, B, scale and zero of B, bias."""
    a, b, scale, zero, bias = (*node.inputs, "", "", "")[:5]
    return _matmul(draft, node, a, (b, scale, zero), bias)


def _matmul_to_float(draft: Draft, node: Node) -> list[Node] | None:
    """com.microsoft.MatMulIntegerToFloat: A, B, scales of both, zeros of both, bias."""
    a, b, _, scale, _, zero, bias = (*node.inputs, "", "", "")[:7]
    x = _operand(draft, a)
    return None if x is None else _matmul(draft, node, x, (b, scale, zero), bias)


def _matmul(
    draft: Draft, node: Node, x: str, b: tuple[str, str, str], bias: str
) -> list[Node] | None:
    found = _weights(draft, *b, axis=-1)
    if found is None:
        return None
    nodes, w = found
    product = draft.fresh(f"{node.outputs[0]}_product") if bias else node.outputs[0]
    nodes.append(Node("MatMul", (x, w), (product,), {}, node.name))
    return [*nodes, Node("Add", (product, bias), node.outputs)] if bias else nodes


INTEGER_OPS: dict[str, Callable[[Draft, Node], list[Node] | None]] = {
    "Mul": _mul,
    "com.microsoft.DynamicQuantizeMatMul": _dynamic_matmul,
    "com.microsoft.MatMulIntegerToFloat": _matmul_to_float,
}
