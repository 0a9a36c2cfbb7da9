"""Attention, softmax and norms."""

import numpy as np

from edge.format.graph import Node

from ..lowering import Lowering, handles
from ..units.attention import Attention, Softmax
from ..units.norm import Norm


@handles("edge.Attention")
def attention(self: Lowering, node: Node) -> bool:
    q, k, v = node.inputs[:3]
    mask = node.inputs[3] if len(node.inputs) > 3 else ""
    a = node.attributes
    heads, shared = a["heads"], a["kv_heads"]
    if not self.is_float(q, k, v, *filter(None, [mask])) or not heads or not shared:
        return False
    shapes = [self.shape(name) for name in (q, k, v)]
    widths = [shape[-1] for shape in shapes]
    divides = widths[0] % heads == widths[1] % shared == widths[2] % shared == heads % shared == 0
    if {len(shape) for shape in shapes} != {3} or not divides:
        raise self.broken(node, f"[N, S, {heads} heads]", shapes)
    dims = widths[0] // heads, widths[1] // shared, widths[2] // shared
    if dims[0] != dims[1] or shapes[1][:2] != shapes[2][:2] or shapes[0][0] != shapes[1][0]:
        raise self.broken(node, "queries, keys and values that fit together", shapes)
    if any(dim % 16 for dim in dims):
        return False
    if mask:
        full = shapes[0][0], heads, shapes[0][1], shapes[1][1]
        given = (1,) * (4 - len(self.shape(mask))) + self.shape(mask)
        if any(size not in (1, whole) for size, whole in zip(given, full, strict=True)):
            raise self.broken(node, f"a mask for {full}", given)
        if given[3] != full[3]:
            return False
    queries, keys, values = self.at(q), self.at(k), self.at(v)
    masked = self.at(mask) if mask else None
    out = self.new(node)
    self.add(Attention(queries, keys, values, masked, out, heads, shared, self.real(node, "scale")))
    return True


@handles("Softmax")
def softmax(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    axis, rank = node.attributes.get("axis", -1), len(self.shape(x))
    if not self.is_float(x) or axis not in (-1, rank - 1):
        return False
    source, out = self.at(x), self.new(node)
    self.add(Softmax(source, out))
    return True


@handles("LayerNormalization", "RMSNormalization")
def norm(self: Lowering, node: Node) -> bool:
    x, weight = node.inputs[0], self.constant(node.inputs[1])
    shape = self.shape(x)
    axis = node.attributes.get("axis", -1)
    size = shape[-1] if shape else 0
    if not self.is_float(x) or weight is None or axis not in (-1, len(shape) - 1):
        return False
    bias = self.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    bias = np.zeros(size, np.float32) if bias is None else bias
    only = sum(map(bool, node.outputs)) == 1
    if not only or weight.shape != (size,) or bias.shape != (size,) or weight.dtype != np.float32:
        return False
    kind = "layernorm" if node.op == "LayerNormalization" else "norm"
    source, out = self.at(x), self.new(node)
    epsilon = self.real(node, "epsilon", 1e-5)
    self.add(Norm(kind, source, out, weight, bias, epsilon))
    return True
