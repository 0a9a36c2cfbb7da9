"""What lowers each operator that has a kernel."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.format.graph import Node

from .expressions import EXPRESSIONS, constant_of
from .lowering import HANDLERS, Lowering, handles
from .storage import Place
from .units.attention import Attention, Softmax
from .units.chain import Instruction, Operand
from .units.convolution import LARGEST, Convolution, Sliding
from .units.lookup import Lookup
from .units.move import Move
from .units.norm import Norm
from .units.product import Product
from .units.window import Window

LARGEST_TAPS = 2**16


@handles("edge.Linear")
def linear(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if not self.is_float(x):
        return False
    rows, columns = self.matrices.shape(node.attributes["weight"])
    if not self.shape(x) or self.shape(x)[-1] != columns:
        raise self.broken(node, f"{columns} columns", self.shape(x))
    matrix = self.weights.matrix(node.attributes["weight"], rows, columns)
    source, out = self.at(x), self.new(node)
    form = str(matrix.form)
    is_plain = not (matrix.outliers or matrix.sparse or matrix.low_rank or matrix.factor)
    if is_plain and form in ("int8", "float32", "float16"):
        self.add(Convolution(source, out, matrix, columns))
    else:
        self.add(Product(source, out, matrix))
    return True


@handles("edge.Conv")
def conv(self: Lowering, node: Node) -> bool:
    x, a = node.inputs[0], node.attributes
    if not self.is_float(x):
        return False
    rows, columns = self.matrices.shape(a["weight"])
    sliding, channels = _sliding(self, node, a["kernel"]), a["channels"]
    taps = sliding.kernel[0] * sliding.kernel[1]
    matrix = self.weights.matrix(a["weight"], rows, columns)
    widths = [channels] * matrix.form.is_float + [-(-channels // 16) * 16]
    if columns not in (taps * width for width in widths) or self.shape(x)[-1] != channels:
        raise self.broken(node, f"{taps} taps of {channels} channels", (columns, self.shape(x)))
    if str(matrix.form) not in ("int8", "float32", "float16") or matrix.factor:
        return False
    n, height, width, _ = self.shape(x)
    source, out = self.at(x), self.new(node)
    self.add(Convolution(source, out, matrix, channels, (n, height, width), sliding))
    return True


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
    sliding = _sliding(self, node, kernel)
    source, out = self.at(x), self.new(node)
    self.add(Window("depthwise", source, out, sliding, weight, bias))
    return True


def _sliding(self: Lowering, node: Node, kernel: tuple[int, ...]) -> Sliding:
    """Attributes as kernels may trust them."""
    a = node.attributes
    parts = (tuple(kernel), tuple(a["strides"]), tuple(a["pads"]), tuple(a["dilations"]))
    sizes = (2, 2, 4, 2)
    integers = all(type(n) is int for part in parts for n in part)
    if [len(part) for part in parts] != list(sizes) or not integers:
        raise self.broken(node, "kernel, strides, pads and dilations of an image", parts)
    if min(*parts[0], *parts[1], *parts[3]) < 1 or min(parts[2]) < 0:
        raise self.broken(node, "sizes from 1 and pads from 0", parts)
    if kernel[0] * kernel[1] > LARGEST_TAPS or len(self.shape(node.inputs[0])) != 4:
        raise self.broken(node, "an image [N, H, W, C]", self.shape(node.inputs[0]))
    return Sliding(*parts)  # type: ignore[arg-type]


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
    places = [self.at(name) for name in (q, k, v)]
    masked = self.at(mask) if mask else None
    out = self.new(node)
    self.add(Attention(*places, masked, out, heads, shared, a["scale"]))
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
    epsilon = node.attributes.get("epsilon", 1e-5)
    self.add(Norm(kind, source, out, weight, bias, epsilon))
    return True


@handles("Transpose")
def transpose(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if not self.is_float(x):
        return False
    rank = len(self.shape(x))
    axes = node.attributes.get("perm", tuple(reversed(range(rank))))
    if sorted(axes) != list(range(rank)):
        raise self.broken(node, f"an order of {rank} axes", axes)
    source, shape = self.at(x), self.shape(node.outputs[0])
    steps = tuple(source.steps()[axis] for axis in axes)
    return _moves(self, node, [(source, shape, 0, steps, 0)])


@handles("Concat")
def concat(self: Lowering, node: Node) -> bool:
    names = [name for name in node.inputs if self.fact(name) and 0 not in self.shape(name)]
    if not self.is_float(*names) or not names:
        return False
    rank = len(self.shape(names[0]))
    axis = node.attributes["axis"] % rank
    to = Place(self.at(names[0]).buffer, self.shape(node.outputs[0])).steps()
    moves, at = [], 0
    for name in names:
        source = self.at(name)
        moves.append((source, source.shape, 0, source.steps(), at * to[axis]))
        at += source.shape[axis]
    return _moves(self, node, moves)


@handles("Slice")
def slice_(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    given = [self.constant(name) if name else None for name in node.inputs[1:]]
    if not self.is_float(x) or len(given) < 2 or given[0] is None or given[1] is None:
        return False
    shape = self.shape(x)
    starts, ends = (g.tolist() for g in given[:2] if g is not None)
    axes = given[2].tolist() if len(given) > 2 and given[2] is not None else range(len(starts))
    every = given[3].tolist() if len(given) > 3 and given[3] is not None else [1] * len(starts)
    source = self.at(x)
    steps, offset = list(source.steps()), 0
    for axis, start, end, step in zip(axes, starts, ends, every, strict=True):
        if step < 1:
            return False
        first, _, _ = slice(start, end, step).indices(shape[axis])
        offset += first * source.steps()[axis]
        steps[axis] *= step
    return _moves(self, node, [(source, self.shape(node.outputs[0]), offset, tuple(steps), 0)])


@handles("Split")
def split(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if not self.is_float(x):
        return False
    source = self.at(x)
    axis, offset = node.attributes.get("axis", 0) % len(source.shape), 0
    moves = []
    for i in range(len(node.outputs)):
        shape = self.shape(node.outputs[i])
        move = Move(source, source, shape, offset, source.steps(), 0, ())
        moves.append((i, move))
        offset += shape[axis] * source.steps()[axis]
    for i, move in moves:
        move.out = self.new(node, i)
        move.to_steps = move.out.steps()
        if not move.fits:
            return False
    for _, move in moves:
        self.add(move)
    return True


_Step = tuple[Place, tuple[int, ...], int, tuple[int, ...], int]


def _moves(self: Lowering, node: Node, steps: list[_Step]) -> bool:
    """(source, shape, offset, steps of the source, offset in the output)"""
    shape = self.shape(node.outputs[0])
    out = Place(self.new(node).buffer, shape)
    found = [
        Move(x, out, part, offset, strides, to, out.steps(), i == len(steps) - 1 or len(part) < 1)
        for i, (x, part, offset, strides, to) in enumerate(steps)
    ]
    if len(found) > 1 and found[0].shape[-1] == out.size:  # pieces of rows it is not
        for move in found:
            move.clears = True
    return _moved(self, node, found)


@handles("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
def reshape(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if x not in self.places and x not in self.lazy:
        return False
    other = self.at(x).reshaped(self.shape(node.outputs[0]))
    if other is None:
        return False
    self.places[node.outputs[0]] = other
    return True


@handles("ReduceMean")
def reduce_mean(self: Lowering, node: Node) -> bool:
    """Over an image's height and width."""
    x = node.inputs[0]
    axes = self.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if not self.is_float(x) or axes is None or len(self.shape(x)) != 4:
        return False
    if sorted(axis % 4 for axis in axes.tolist()) != [1, 2]:
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
    sliding = _sliding(self, node, a["kernel"])
    counted = sliding.kernel[0] * sliding.kernel[1] if a.get("count_include_pad") else 0
    if counted and a.get("ceil_mode"):
        return False  # places beyond the padding do not count
    source, out = self.at(x), self.new(node)
    kind = "max" if node.op == "edge.MaxPool" else "average"
    self.add(Window(kind, source, out, sliding, counted=counted))
    return True


@handles("edge.DepthToSpace")
def depth_to_space(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if not self.is_float(x) or len(self.shape(x)) != 4:
        return False
    (n, h, w, _), (height, width) = self.shape(x), node.attributes["block"]
    channels = self.shape(node.outputs[0])[3]
    source, out = self.at(x), self.new(node)
    image, row, pixel, element = source.steps()
    to = out.steps()
    move = Move(
        source, out, (n, h, height, w, width, channels), 0,
        (image, row, 4 * width * channels, pixel, 4 * channels, element), 0,
        (to[0], height * to[1], to[1], width * to[2], to[2], to[3]),
    )  # fmt: skip
    return _moved(self, node, [move])


@handles("Resize")
def resize(self: Lowering, node: Node) -> bool:
    """By whole numbers, to the nearest pixel, of an image that is channels last."""
    x, a = node.inputs[0], node.attributes
    if not self.is_float(x) or a.get("mode", "nearest") != "nearest" or len(self.shape(x)) != 4:
        return False
    (n, h, w, channels), out_shape = self.shape(x), self.shape(node.outputs[0])
    height, width = out_shape[1] // h, out_shape[2] // w
    if out_shape != (n, h * height, w * width, channels) or not _repeats(a):
        return False
    source, out = self.at(x), self.new(node)
    image, row, pixel, element = source.steps()
    to = out.steps()
    move = Move(
        source, out, (n, h, height, w, width, channels), 0,
        (image, row, 0, pixel, 0, element), 0,
        (to[0], height * to[1], to[1], width * to[2], to[2], to[3]),
    )  # fmt: skip
    return _moved(self, node, [move])


def _repeats(attributes: Mapping[str, Any]) -> bool:
    """Whether pixel i comes from pixel i // scale, for scales that are whole numbers."""
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = attributes.get("nearest_mode", "round_prefer_floor")
    if attributes.get("axes") or attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return False
    halves = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
    return (mode == "asymmetric" and rounding == "floor") or (
        mode in halves and rounding.startswith("round_prefer")
    )


def _moved(self: Lowering, node: Node, moves: list[Move]) -> bool:
    """Add moves into the node's output, if the kernel can do them all."""
    if not all(move.fits for move in moves):
        del self.places[node.outputs[0]]
        return False
    for move in moves:
        self.add(move)
    return True


@handles("edge.Embedding")
def embedding(self: Lowering, node: Node) -> bool:
    ids, name = node.inputs[0], node.attributes["weight"]
    found = self.fact(ids)
    rows, columns = self.matrices.shape(name)
    if found is None or found.dtype.kind not in "iu" or ids in self.places:
        return False
    matrix = self.weights.matrix(name, rows, columns)
    if matrix.outliers or matrix.sparse or matrix.low_rank or matrix.factor or matrix.bias:
        return False
    self.add(Lookup(ids, matrix, self.new(node)))
    return True


@handles(*EXPRESSIONS)
def elementwise(self: Lowering, node: Node) -> bool:
    if not self.is_float(*filter(None, node.inputs)):
        return False
    root = self.express(node)
    if root is None:
        return False
    if not _joined(self, node, root):
        for name in filter(None, node.inputs):  # what it has taken into itself
            self.lazy.pop(name, None)
        self.lazy[node.outputs[0]] = root
    return True


def _joined(self: Lowering, node: Node, root: Instruction) -> bool:
    """Whether the convolution before can do it on the way: a clamp, or an addition."""
    operands = [one for one in root.inputs if isinstance(one, Operand)]
    if len(operands) != len(root.inputs):
        return False
    if root.op == "add":
        return any(
            _added(self, node, a, b) for a, b in ((node.inputs), tuple(reversed(node.inputs)))
        )
    bounds = _bounds(root)
    unit = self.maker(node.inputs[0])
    if bounds is None or not self.is_alone(node.inputs[0]):
        return False
    if not isinstance(unit, Convolution | Window) or getattr(unit, "kind", "depthwise") != (
        "depthwise"
    ):
        return False
    if (unit.low, unit.high) != (-LARGEST, LARGEST) or not bounds[0] <= 0 <= bounds[1]:
        return False
    unit.low, unit.high = bounds
    self.places[node.outputs[0]] = self.places[node.inputs[0]]
    return True


def _bounds(root: Instruction) -> tuple[float, float] | None:
    if root.op == "relu":
        return 0.0, LARGEST
    if root.op != "clamp":
        return None
    low, high = (constant_of(one) for one in root.inputs[1:])
    return None if low is None or high is None else (low, high)


def _added(self: Lowering, node: Node, name: str, other: str) -> bool:
    unit = self.maker(name)
    if not isinstance(unit, Convolution) or not self.is_alone(name) or name == other:
        return False
    if unit.residual is not None or unit.high != LARGEST or unit.low != -LARGEST:
        return False
    if self.constant(other) is not None or self.shape(other) != self.shape(node.outputs[0]):
        return False
    if self.shape(name) != self.shape(other) or unit.out.buffer is self.at(other).buffer:
        return False
    unit.residual = self.at(other)
    self.postpone(unit)
    self.places[node.outputs[0]] = self.places[name]
    return True


assert HANDLERS
