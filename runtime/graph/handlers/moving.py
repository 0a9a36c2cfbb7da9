"""What only moves elements, or gives memory another shape."""

from edge.format.graph import Node

from ..lowering import Lowering, handles
from ..storage import Place
from ..units.move import Move


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
    return move_all(self, node, [(source, shape, 0, steps, 0)])


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
    return move_all(self, node, moves)


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
    if len({axis % len(shape) for axis in axes}) < len(starts):  # an axis that is cut twice
        return False
    source = self.at(x)
    steps, offset = list(source.steps()), 0
    for axis, start, end, step in zip(axes, starts, ends, every, strict=True):
        if step < 1:
            return False
        first, _, _ = slice(start, end, step).indices(shape[axis])
        offset += first * source.steps()[axis]
        steps[axis] *= step
    return move_all(self, node, [(source, self.shape(node.outputs[0]), offset, tuple(steps), 0)])


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


Step = tuple[Place, tuple[int, ...], int, tuple[int, ...], int]


def move_all(self: Lowering, node: Node, steps: list[Step]) -> bool:
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
    """The same memory, or rows cut or joined."""
    x = node.inputs[0]
    if not self.is_float(x) or self.constant(x) is not None:
        return False
    source = self.at(x)
    other = source.reshaped(self.shape(node.outputs[0]))
    if other is None:
        return _cut(self, node, source)
    self.places[node.outputs[0]] = other
    return True


def _cut(self: Lowering, node: Node, x: Place) -> bool:
    out = self.new(node)
    if x.size % out.size == 0:
        parts = x.size // out.size
        shape = x.rows, parts, out.size
        steps, to = (x.stride, 4 * out.size, 4), (parts * out.stride, out.stride, 4)
        return _moved(self, node, [Move(x, out, shape, 0, steps, 0, to)])
    parts = out.size // x.size
    if x.size == 1:
        column = parts * x.stride, x.stride
        return _moved(self, node, [Move(x, out, (out.rows, parts), 0, column, 0, (out.stride, 4))])
    if out.size % x.size or out.size != out.width:  # nobody would write the padding
        del self.places[node.outputs[0]]
        return False
    steps, to = (parts * x.stride, x.stride, 4), (out.stride, 4 * x.size, 4)
    return _moved(self, node, [Move(x, out, (out.rows, parts, x.size), 0, steps, 0, to, False)])


@handles("Gather")
def gather(self: Lowering, node: Node) -> bool:
    """One place of an axis."""
    x, index = node.inputs[0], self.constant(node.inputs[1])
    if not self.is_float(x) or index is None or index.ndim:
        return False
    source = self.at(x)
    axis, steps = node.attributes.get("axis", 0) % len(source.shape), source.steps()
    at = int(index)
    if not -source.shape[axis] <= at < source.shape[axis]:
        return False  # the operator itself says so
    offset = at % source.shape[axis] * steps[axis]
    rest = steps[:axis] + steps[axis + 1 :]
    return move_all(self, node, [(source, self.shape(node.outputs[0]), offset, rest, 0)])


@handles("edge.DepthToSpace")
def depth_to_space(self: Lowering, node: Node) -> bool:
    x = node.inputs[0]
    if not self.is_float(x) or len(self.shape(x)) != 4:
        return False
    height, width = node.attributes["block"]
    channels = self.shape(node.outputs[0])[3]
    return blocks(self, node, (height, width), (4 * width * channels, 4 * channels))


def blocks(self: Lowering, node: Node, block: tuple[int, int], steps: tuple[int, int]) -> bool:
    """Every pixel becomes a block, whose rows and columns are `steps` bytes apart in the pixel."""
    source, out = self.at(node.inputs[0]), self.new(node)
    (n, h, w, _), channels, (height, width) = source.shape, out.size, block
    image, row, pixel, element = source.steps()
    to = out.steps()
    move = Move(
        source, out, (n, h, height, w, width, channels), 0,
        (image, row, steps[0], pixel, steps[1], element), 0,
        (to[0], height * to[1], to[1], width * to[2], to[2], to[3]),
    )  # fmt: skip
    return _moved(self, node, [move])


def _moved(self: Lowering, node: Node, moves: list[Move]) -> bool:
    """Add moves into the node's output, if the kernel can do them all."""
    if not all(move.fits for move in moves):
        del self.places[node.outputs[0]]
        return False
    for move in moves:
        self.add(move)
    return True
