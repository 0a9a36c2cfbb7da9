"""Matrix products of every weight format, as decoders have them (lowering/lowering.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...lowering.buffers import Buffers, Floats
from ...lowering.lowering import TOKENS, Lowering
from ...lowering.weights import Matrix
from ...plan import Op
from ..storage import Place
from .move import moved
from .unit import Context, Unit

ROW_BYTES = 256  # 64 elements: what every format's groups fit into


class _Products(Lowering):
    """Of so many tokens."""

    def __init__(self, context: Context, tokens: int):
        self.threads, self.epsilon = context.threads, 0.0
        self.buffers, self.weights = Buffers(tokens), context.weights
        self.buffers.arena = context.memory.arena
        self.ops: list[Op] = []
        self.registers = self.buffers.arena.array((8,), "<i8")
        self.registers[TOKENS] = tokens


@dataclass(eq=False)
class Product(Unit):
    """out = W x + bias, in every format and with all that rides beside a matrix."""

    x: Place
    out: Place
    matrix: Matrix

    def reads(self) -> Iterator[Place]:
        yield self.x

    def ops(self, context: Context) -> list[Op]:
        products = _Products(context, self.x.rows)
        x, out = (Floats(p.address, p.stride, p.size) for p in (self.x, self.out))
        before = []
        if x.stride % ROW_BYTES:  # groups of columns would reach into the next row
            wide = products.buffers.floats(x.size)
            before = [_copied(context, self.x, wide)]
            x = wide
        products._activation("plain", x, None, x, "", [self.matrix])
        products._product(x, self.matrix, out)
        return [*before, *(_fixed(op, self.x.rows) for op in products.ops)]


def _copied(context: Context, x: Place, to: Floats) -> Op:
    steps = [(from_, 4) for from_ in (x.stride, to.stride)]
    return moved(context, (x.rows, x.width), (x.address, steps[0]), (to.address, steps[1]))


def _fixed(op: Op, tokens: int) -> Op:
    """The same op with a number of chunks that does not hang on the step's tokens."""
    if not op.tokens_per_chunk:
        return op
    chunks = op.chunks * -(-tokens // op.tokens_per_chunk)
    return Op(op.kernel, op.arguments, chunks, barrier=op.barrier, weights=op.weights)
