"""Sums of outer products: columns of float weights times float activations."""

from llvmlite import ir

from . import emit
from .emit import F32, I64, LANES, block_op

COLUMNS = 4  # of a step
_ARM = ("neon", "dotprod", "i8mm")


@block_op(lambda acc, w, x, stride: acc(acc, w, x, stride))
def add_columns(isa, builder, values, args):
    """acc[tile][t] + the sum of w[tile][c] * x[t][c] over four columns c.

    acc  Floats, tokens of the first tile, tokens of the next
    w    Floats, four columns of the first tile, four of the next
    x    address of float32, `stride` bytes from one token's to the next one's
    """
    acc, w = emit.unpack(builder, values[0]), emit.unpack(builder, values[1])
    tiles = range(len(w) // COLUMNS)
    tokens = len(acc) // len(tiles)
    x = [
        _columns(isa, builder, emit.offset(builder, values[2], values[3], t)) for t in range(tokens)
    ]
    for column in range(COLUMNS):
        for t in range(tokens):
            for tile in tiles:
                at, weights = tile * tokens + t, w[tile * COLUMNS + column]
                acc[at] = emit.fused(isa, builder, weights, x[t][column], acc[at])
    return emit.pack(builder, acc)


def _columns(isa, builder, x):
    """x[c] in all lanes, for each column c."""
    if isa in _ARM:  # folds into `fmla v.s[i]`
        four = emit.load(builder, x, ir.VectorType(F32, COLUMNS), 4)
        return [emit.shuffle(builder, four, [c] * LANES) for c in range(COLUMNS)]
    at = [builder.add(x, ir.Constant(I64, 4 * c)) for c in range(COLUMNS)]
    return [emit.splat(builder, emit.load(builder, address, F32, 4)) for address in at]
