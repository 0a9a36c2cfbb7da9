"""Three trits in five bits: a nibble and a high bit, unpacked by looking them up.

A code is 5 * first + m in its nibble, m = 0..4, and p = 2 * m + high bit = 3 * second + third.
So the first trit needs the nibble alone, and every trit comes from tables of 16 bytes, which is
what a byte shuffle has (32 on NEON).
"""

from llvmlite import ir
from numba import types

from . import emit
from .emit import I8, I16, Bytes, block_op

_PAIRS = [[2 * (nibble % 5) + high for nibble in range(16)] for high in (0, 1)]
_FIRST = [nibble // 5 for nibble in range(16)]
_SECOND = [[p // 3 for p in pairs] for pairs in _PAIRS]
_THIRD = [[p % 3 for p in pairs] for pairs in _PAIRS]


@block_op(lambda codes, high, pair: types.UniTuple(Bytes, 6)(codes, high, pair))
def trits(isa, builder, values, args):
    """Codes 0..2 of 24 columns: low nibbles and bits 2 * pair of `high`, then high nibbles."""
    codes, high, _ = values
    low = emit.constant(Bytes.ir, 15)
    nibbles = (builder.and_(codes, low), builder.and_(_shift(builder, codes, -4), low))
    first_bit = 2 * args[2].literal_value
    digits = []
    for i, nibble in enumerate(nibbles):
        digits += _THREE[isa](builder, nibble, high, first_bit + i)
    return emit.pack(builder, digits)


def _shift(builder, codes, left):
    """Bytes shifted as 16-bit words: bits cross from one to its neighbour."""
    words = ir.VectorType(I16, codes.type.count // 2)
    shift = builder.shl if left > 0 else builder.lshr
    moved = shift(builder.bitcast(codes, words), emit.constant(words, abs(left)))
    return builder.bitcast(moved, codes.type)


def _table(numbers, lanes):
    return ir.Constant(ir.VectorType(I8, lanes), numbers * (lanes // 16))


def _by_shuffles(name, lanes, is_set):
    """vpshufb for each value of the high bit, and a choice between them."""
    kind = ir.VectorType(I8, lanes)

    def look_up(builder, table, nibble):
        return emit.call_intrinsic(builder, name, kind, _table(table, lanes), nibble)

    def part(builder, nibble, high, bit):
        chosen = is_set(builder, high, bit)
        digits = [look_up(builder, _FIRST, nibble)]
        for without, with_bit in (_SECOND, _THIRD):
            one, zero = (look_up(builder, t, nibble) for t in (with_bit, without))
            digits.append(builder.select(chosen, one, zero))
        return digits

    return lambda *values: _in_parts(part, lanes, *values)


def _in_parts(part, lanes, builder, nibble, high, bit):
    """Three digits from those of `lanes` bytes each."""
    pairs = zip(emit.split(builder, nibble, lanes), emit.split(builder, high, lanes), strict=True)
    digits = zip(*(part(builder, n, h, bit) for n, h in pairs), strict=True)
    return [emit.concat(builder, list(d)) for d in digits]


def _tested(builder, high, bit):
    """vptestmb"""
    kept = builder.and_(high, emit.constant(high.type, 1 << bit))
    return builder.icmp_unsigned("!=", kept, emit.constant(high.type, 0))


def _as_sign(builder, high, bit):
    """Where vpblendvb looks for it."""
    moved = _shift(builder, high, 7 - bit) if bit < 7 else high
    return builder.icmp_signed("<", moved, emit.constant(high.type, 0))


def _by_tbl(builder, nibble, high, bit):
    """NEON: a table of 32 bytes in two registers."""
    kind = nibble.type
    moved = builder.lshr(high, emit.constant(kind, bit))
    above = builder.shl(builder.and_(moved, emit.constant(kind, 1)), emit.constant(kind, 4))
    index = builder.or_(nibble, above)
    one, two = (f"llvm.aarch64.neon.tbl{n}.v16i8" for n in (1, 2))
    digits = [emit.call_intrinsic(builder, one, kind, _table(_FIRST, 16), nibble)]
    for tables in (_SECOND, _THIRD):
        halves = (_table(t, 16) for t in tables)
        digits.append(emit.call_intrinsic(builder, two, kind, *halves, index))
    return digits


def _by_arithmetic(builder, nibble, high, bit):
    """n / 5 = 13 n >> 6 and p / 3 = 11 p >> 5 for n < 15 and p < 9, all within a byte."""

    def c(value):
        return emit.constant(Bytes.ir, value)

    first = builder.lshr(builder.mul(nibble, c(13)), c(6))
    m = builder.sub(nibble, builder.mul(first, c(5)))
    top = builder.and_(builder.lshr(high, c(bit)), c(1))
    p = builder.add(builder.add(m, m), top)
    second = builder.lshr(builder.mul(p, c(11)), c(5))
    return [first, second, builder.sub(p, builder.mul(second, c(3)))]


_THREE = {
    "avx512vnni": _by_shuffles("llvm.x86.avx512.pshuf.b.512", 64, _tested),
    "avxvnni": _by_shuffles("llvm.x86.avx2.pshuf.b", 32, _as_sign),
    "avx2": _by_shuffles("llvm.x86.avx2.pshuf.b", 32, _as_sign),
    "i8mm": lambda *values: _in_parts(_by_tbl, 16, *values),
    "dotprod": lambda *values: _in_parts(_by_tbl, 16, *values),
    "neon": lambda *values: _in_parts(_by_tbl, 16, *values),
    "plain": _by_arithmetic,
}
