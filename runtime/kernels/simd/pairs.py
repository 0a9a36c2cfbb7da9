"""i8mm: products of two rows by two tokens.

`usmmla` multiplies 8 neighbouring columns of two rows (unsigned) and of two tokens (signed) into
row 0 token 0, row 0 token 1, row 1 token 0, row 1 token 1.  Of a tile's vectors, 4 rows x 4
columns each, two neighbours are two zips away from its operands.
"""

from llvmlite import ir

from . import emit
from .emit import I8, I32

_N16, _S4 = ir.VectorType(I8, 16), ir.VectorType(I32, 4)


def enter(builder, sums):
    """[piece][rows 0-1, rows 2-3] from two tokens' [token][piece]."""
    return [_zip(builder, a, b, 4) for a, b in zip(*sums, strict=True)]


def leave(builder, pairs):
    """[token][piece] again."""
    both = [emit.concat(builder, own) for own in pairs]
    return [[emit.shuffle(builder, own, range(token, 8, 2)) for own in both] for token in (0, 1)]


def dot(builder, sums, codes, x_addresses):
    """sums + codes[piece] . x over 16 columns, for two tokens."""
    name = "llvm.aarch64.neon.usmmla.v4i32.v16i8"
    x = _zip(builder, *(emit.load(builder, address, _N16, 16) for address in x_addresses), 8)
    results = []
    for totals, own in zip(sums, codes, strict=True):
        for columns, pair in enumerate((own[:2], own[2:])):
            rows = _zip(builder, *pair, 4)
            totals = [
                emit.call_intrinsic(builder, name, _S4, total, row, x[columns])
                for total, row in zip(totals, rows, strict=True)
            ]
        results.append(totals)
    return results


def _zip(builder, a, b, width):
    """Interleave two registers by `width` bytes (or 32-bit lanes): the lower half, the upper."""
    both = emit.concat(builder, [a, b])
    count = a.type.count
    step = width if count == 16 else 1
    order = [k + side for k in range(0, count, step) for side in (0, count)]
    lanes = [k + i for k in order for i in range(step)]
    return [emit.shuffle(builder, both, lanes[:count]), emit.shuffle(builder, both, lanes[count:])]
