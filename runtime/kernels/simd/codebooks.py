"""Look-ups of 4-bit codes in tables of 16 int8, one table for every 4 rows (16 bytes of a vector).

Products take levels as they take 8-bit codes: unsigned, plus 128, where the target's instruction
wants that (products.UNSIGNED_INT8), else signed.
"""

from llvmlite import ir

from . import emit, products
from .emit import ADDRESS, I8, Bytes, block_op

_N16 = ir.VectorType(I8, 16)


@block_op(lambda address: Bytes(ADDRESS))
def load_codebooks(isa, builder, values, args):
    """A tile's four tables, as `look_up` wants them."""
    levels = emit.load(builder, values[0], Bytes.ir, 64)
    if isa in products.UNSIGNED_INT8:
        levels = builder.xor(levels, emit.constant(Bytes.ir, -128))
    return levels


def look_up(isa, builder, tables, codes):
    """The level of every code 0..15: `tables` and `codes` are the same rows."""
    width = min(_WIDTH[isa], codes.type.count)
    parts = zip(emit.split(builder, tables, width), emit.split(builder, codes, width), strict=True)
    found = [_SHUFFLES[isa](builder, table, code) for table, code in parts]
    return emit.concat(builder, found)


def _by(name):
    def shuffle(builder, table, codes):
        return emit.call_intrinsic(builder, name, codes.type, table, codes)

    return shuffle


def _by_comparing(builder, table, codes):
    """Without a byte shuffle: each level where the code is its own."""
    result = emit.constant(_N16, 0)
    for code in range(16):
        chosen = builder.icmp_unsigned("==", codes, emit.constant(_N16, code))
        level = emit.shuffle(builder, table, [code] * 16)
        result = builder.select(chosen, level, result)
    return result


_WIDTH = {
    "avx512vnni": 64,
    "avxvnni": 32,
    "avx2": 32,
    "i8mm": 16,
    "dotprod": 16,
    "neon": 16,
    "plain": 16,
}
_SHUFFLES = {
    "avx512vnni": _by("llvm.x86.avx512.pshuf.b.512"),
    "avxvnni": _by("llvm.x86.avx2.pshuf.b"),
    "avx2": _by("llvm.x86.avx2.pshuf.b"),
    "i8mm": _by("llvm.aarch64.neon.tbl1.v16i8"),
    "dotprod": _by("llvm.aarch64.neon.tbl1.v16i8"),
    "neon": _by("llvm.aarch64.neon.tbl1.v16i8"),
    "plain": _by_comparing,
}
