"""How operators shape their outputs, in the spelling of the newest opset; registered in shapes.py."""

from collections.abc import Sequence

from edge.format.graph import Node

from .dimensions import Dim, Shape, add, broadcast, divide, multiply, product, unknown
from .shapes import Shapes, rule

SAME = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BatchNormalization", "BitwiseNot"),
    *("Cast", "Ceil", "Celu", "Clip", "Cos", "Cosh", "CumSum", "DequantizeLinear", "Dropout"),
    *("Elu", "Erf", "Exp", "Floor", "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish"),
    *("Hardmax", "Identity", "InstanceNormalization", "IsInf", "IsNaN", "LRN"),
    *("LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization"),
    *("MeanVarianceNormalization", "Mish", "Neg", "Not", "QuantizeLinear", "RMSNormalization"),
    *("Reciprocal", "Relu", "Round", "ScatterElements", "ScatterND", "Selu", "Shrink", "Sigmoid"),
    *("Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh"),
    *("ThresholdedRelu", "Trilu"),
)
BROADCAST = (
    *("Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater"),
    *("GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu"),
    *("Pow", "Sub", "Sum", "Where", "Xor"),
)
REDUCE = tuple(
    f"Reduce{what}"
    for what in (
        "L1",
        "L2",
        "LogSum",
        "LogSumExp",
        "Max",
        "Mean",
        "Min",
        "Prod",
        "Sum",
        "SumSquare",
    )
)
FAR = 10**9  # "to the end", as exporters write it; no axis is longer

Shaped = Sequence[Shape | None]


@rule(*SAME)
def same(s: Shapes, node: Node) -> Shaped:
    return [s.of(node.inputs[0])]


@rule(*BROADCAST)
def broadcasted(s: Shapes, node: Node) -> Shaped:
    found = [s.of(name) for name in node.inputs]
    known = [shape for shape in found if shape is not None]
    return [broadcast(known, node.outputs[0]) if len(known) == len(found) else None]


@rule("MatMul", "MatMulInteger")
def matmul(s: Shapes, node: Node) -> Shaped:
    a, b = (s.of(name) for name in node.inputs[:2])
    if a is None or b is None or not a or not b:
        return [None]
    if len(b) == 1:
        return [a[:-1]]
    if len(a) == 1:
        return [(*b[:-2], b[-1])]
    return [(*broadcast([a[:-2], b[:-2]], node.outputs[0]), a[-2], b[-1])]


@rule("Gemm")
def gemm(s: Shapes, node: Node) -> Shaped:
    a, b = (s.of(name) for name in node.inputs[:2])
    if a is None or b is None:
        return [None]
    rows = a[1 if node.attributes.get("transA", 0) else 0]
    return [(rows, b[0 if node.attributes.get("transB", 0) else 1])]


@rule("edge.Linear")
def linear(s: Shapes, node: Node) -> Shaped:
    x, rows = s.of(node.inputs[0]), len(s.matrices[node.attributes["weight"]].weight)
    return [None if x is None else (*x[:-1], rows)]


@rule("edge.Embedding")
def embedding(s: Shapes, node: Node) -> Shaped:
    ids, table = s.of(node.inputs[0]), s.matrices[node.attributes["weight"]].weight
    return [None if ids is None else (*ids, table.shape[1])]


@rule("edge.Attention")
def attention(s: Shapes, node: Node) -> Shaped:
    q, v = s.of(node.inputs[0]), s.of(node.inputs[2])
    if q is None or v is None:
        return [None]
    width = divide(multiply(v[2], node.attributes["heads"]), node.attributes["kv_heads"])
    return [(q[0], q[1], width)]


@rule(*REDUCE)
def reduce(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if x is None:
        return [None]
    given = len(node.inputs) > 1 and node.inputs[1]
    axes = s.integers(node.inputs[1]) if given else ()
    if axes is None:
        return [s.ranked(node.outputs[0], len(x)) if node.attributes.get("keepdims", 1) else None]
    if not axes:
        axes = () if node.attributes.get("noop_with_empty_axes", 0) else tuple(range(len(x)))
    return [_without(x, axes, bool(node.attributes.get("keepdims", 1)))]


@rule("ArgMax", "ArgMin")
def argmax(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if x is None:
        return [None]
    axes = (node.attributes.get("axis", 0),)
    return [_without(x, axes, bool(node.attributes.get("keepdims", 1)))]


def _without(x: Shape, axes: Sequence[int], kept: bool) -> Shape:
    gone = {axis % len(x) for axis in axes} if x else set()
    if kept:
        return tuple(1 if axis in gone else d for axis, d in enumerate(x))
    return tuple(d for axis, d in enumerate(x) if axis not in gone)


@rule("Transpose")
def transpose(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if x is None:
        return [None]
    perm = node.attributes.get("perm", range(len(x))[::-1])
    return [tuple(x[axis] for axis in perm)]


@rule("Reshape")
def reshape(s: Shapes, node: Node) -> Shaped:
    x, target = s.of(node.inputs[0]), s.elements_of(node.inputs[1])
    if target is None:
        length = s.of(node.inputs[1])
        known = length is not None and len(length) == 1 and isinstance(length[0], int)
        return [s.ranked(node.outputs[0], int(length[0])) if known and length else None]
    copies = not node.attributes.get("allowzero", 0)
    if x is None and (0 in target and copies):
        return [tuple(_named(d, node.outputs[0], i) for i, d in enumerate(target))]
    shape = [x[i] if d == 0 and copies and x else d for i, d in enumerate(target)]
    if -1 in shape:
        shape[shape.index(-1)] = _rest(x, shape, unknown(node.outputs[0], shape.index(-1)))
    return [tuple(shape)]


def _named(d: Dim, name: str, axis: int) -> Dim:
    return unknown(name, axis) if d in (0, -1) else d


def _rest(x: Shape | None, shape: Sequence[Dim], otherwise: Dim) -> Dim:
    """What -1 stands for: the input's elements over those of the other axes."""
    if x is None:
        return otherwise
    before, after = list(x), [d for d in shape if d != -1]
    for d in [d for d in after if isinstance(d, str)]:
        if d not in before:
            return otherwise
        before.remove(d)
        after.remove(d)
    named = [d for d in before if isinstance(d, str)]
    count, size = product([d for d in before if d not in named]), product(after)
    if not isinstance(size, int) or not isinstance(count, int) or not size or count % size:
        return otherwise
    return product([count // size, *named])


@rule("Flatten")
def flatten(s: Shapes, node: Node) -> Shaped:
    x, axis = s.of(node.inputs[0]), node.attributes.get("axis", 1)
    if x is None:
        return [s.ranked(node.outputs[0], 2)]
    axis = axis + len(x) if axis < 0 else axis
    return [(product(x[:axis]), product(x[axis:]))]


@rule("Squeeze")
def squeeze(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if x is None:
        return [None]
    if len(node.inputs) < 2 or not node.inputs[1]:
        return [tuple(d for d in x if d != 1) if all(isinstance(d, int) for d in x) else None]
    axes = s.integers(node.inputs[1])
    return [None if axes is None else _without(x, axes, False)]


@rule("Unsqueeze")
def unsqueeze(s: Shapes, node: Node) -> Shaped:
    x, axes = s.of(node.inputs[0]), s.integers(node.inputs[1])
    if x is None or axes is None:
        return [None]
    rank, rest = len(x) + len(axes), iter(x)
    new = {axis % rank for axis in axes}
    return [tuple(1 if axis in new else next(rest) for axis in range(rank))]


@rule("Concat")
def concat(s: Shapes, node: Node) -> Shaped:
    shapes = [s.of(name) for name in node.inputs]
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes) or not all(known):
        return [s.ranked(node.outputs[0], len(known[0])) if any(known) else None]
    axis = node.attributes["axis"] % len(known[0])
    length: Dim = 0
    for shape in known:
        length = add(length, shape[axis])
    merged = [
        next((d for d in sizes if isinstance(d, int)), sizes[0])
        for sizes in zip(*known, strict=True)
    ]
    merged[axis] = length
    return [tuple(merged)]


@rule("Split")
def split(s: Shapes, node: Node) -> Shaped:
    x = s.of(node.inputs[0])
    if not x:
        return [None] * len(node.outputs)
    axis = node.attributes.get("axis", 0) % len(x)
    sizes: Sequence[Dim] | None = None
    if len(node.inputs) > 1 and node.inputs[1]:
        sizes = s.elements_of(node.inputs[1])
    elif isinstance(size := x[axis], int):
        each = -(-size // len(node.outputs))
        sizes = [min(each, size - i * each) for i in range(len(node.outputs))]
    found = sizes or [unknown(name, axis) for name in node.outputs]
    return [(*x[:axis], size, *x[axis + 1 :]) for size in found]


@rule("Slice")
def slice_(s: Shapes, node: Node) -> Shaped:
    x, name = s.of(node.inputs[0]), node.outputs[0]
    if x is None:
        return [None]
    given = [s.integers(n) if n else () for n in (*node.inputs[1:], "", "")][:4]
    starts, ends, axes, steps = given
    if axes is None or (starts is None and not axes):
        return [s.ranked(name, len(x))]
    axes = axes or tuple(range(len(starts or ())))
    shape = list(x)
    for i, axis in enumerate(axes):
        known = starts is not None and ends is not None and steps is not None
        step = steps[i] if known and steps else 1
        size = _sliced(x[axis], starts[i], ends[i], step) if known and starts and ends else None
        shape[axis] = unknown(name, axis % len(x)) if size is None else size
    return [tuple(shape)]


def _sliced(size: Dim, start: int, end: int, step: int) -> Dim | None:
    if isinstance(size, int):
        return len(range(*slice(start, end if abs(end) < 2**62 else None, step).indices(size)))
    if step == 1 and start == 0 and end >= FAR:
        return size
    return end - start if step == 1 and start < 0 and end < 0 and end - start == 1 else None


@rule("Pad")
def pad(s: Shapes, node: Node) -> Shaped:
    x, pads = s.of(node.inputs[0]), s.integers(node.inputs[1])
    if x is None:
        return [None]
    axes: Sequence[int] | None = range(len(x))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = s.integers(node.inputs[3])
    if pads is None or axes is None:
        return [s.ranked(node.outputs[0], len(x))]
    shape = list(x)
    for i, axis in enumerate(axes):
        shape[axis] = add(shape[axis], pads[i] + pads[i + len(axes)])
    return [tuple(shape)]


@rule("Gather")
def gather(s: Shapes, node: Node) -> Shaped:
    x, indices = s.of(node.inputs[0]), s.of(node.inputs[1])
    if not x or indices is None:
        return [None]
    axis = node.attributes.get("axis", 0) % len(x)
    return [(*x[:axis], *indices, *x[axis + 1 :])]


@rule("GatherElements")
def gather_elements(s: Shapes, node: Node) -> Shaped:
    return [s.of(node.inputs[1])]


@rule("Expand")
def expand(s: Shapes, node: Node) -> Shaped:
    x, target = s.of(node.inputs[0]), s.elements_of(node.inputs[1])
    length = s.of(node.inputs[1])
    if target is None and x is not None and length and isinstance(length[0], int):
        return [s.ranked(node.outputs[0], max(len(x), length[0]))]
    if x is None or target is None:
        return [None]
    return [broadcast([x, target], node.outputs[0])]


@rule("Range")
def range_(s: Shapes, node: Node) -> Shaped:
    start, stop, step = (s.elements_of(name) for name in node.inputs)
    return [stop if start == (0,) and stop and step == (1,) else s.ranked(node.outputs[0], 1)]


@rule("DynamicQuantizeLinear")
def dynamic_quantize(s: Shapes, node: Node) -> Shaped:
    return [s.of(node.inputs[0]), (), ()]


@rule("Tile")
def tile(s: Shapes, node: Node) -> Shaped:
    x, repeats = s.of(node.inputs[0]), s.elements_of(node.inputs[1])
    if x is None or repeats is None:
        return [None]
    return [tuple(multiply(d, n) for d, n in zip(x, repeats, strict=True))]


@rule("edge.DepthToSpace")
def depth_to_space(s: Shapes, node: Node) -> Shaped:
    x, (height, width) = s.of(node.inputs[0]), node.attributes["block"]
    if x is None:
        return [None]
    n, h, w, c = x
    return [(n, multiply(h, height), multiply(w, width), divide(c, height * width))]


@rule("LSTM", "GRU", "RNN")
def recurrent(s: Shapes, node: Node) -> Shaped:
    x, r = s.of(node.inputs[0]), s.of(node.inputs[2])
    if x is None or r is None:
        return [None]
    directions, hidden = r[0], r[2]
    if node.attributes.get("layout", 0):
        state: Shape = (x[0], directions, hidden)
        return [(x[0], x[1], directions, hidden), state, state]
    state = (directions, x[1], hidden)
    return [(x[0], directions, x[1], hidden), state, state]


@rule("edge.LSTM", "edge.GRU")
def recurrent_of_gates(s: Shapes, node: Node) -> Shaped:
    gates, hidden = s.of(node.inputs[0]), s.matrices[node.attributes["weight"]].weight.shape[1]
    if gates is None:
        return [None] * len(node.outputs)
    last = gates[1], hidden
    return [(gates[0], *last), last, last][: len(node.outputs)]
