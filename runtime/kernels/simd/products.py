"""Packed codes, and integer dot products by each target's own instruction."""

from llvmlite import ir
from numba import types

from . import emit
from .emit import ADDRESS, I8, I16, I32, I64, LANES, Bytes, Ints, block_op, op


@op(Bytes(ADDRESS))
def load_bytes(builder, address):
    return emit.load(builder, address, Bytes.ir, 64)


@op(Bytes(Bytes, ADDRESS))
def shift_right(builder, codes, bits):
    """Every byte, but what crosses into it from the byte above stays there."""
    words = ir.VectorType(I16, 2 * LANES)
    count = emit.splat(builder, builder.trunc(bits, I16), 2 * LANES)
    return builder.bitcast(builder.lshr(builder.bitcast(codes, words), count), Bytes.ir)


def field(builder, codes, shift, bits, place=0):
    """Bits [shift, shift + bits) of every byte, emitted, as bits [place, place + bits)."""
    if bits == 8:
        return codes
    moved = shift - place
    if moved:  # a 16-bit shift: x86 has none for bytes, and the mask drops what crosses
        words = ir.VectorType(I16, 2 * LANES)
        move = builder.lshr if moved > 0 else builder.shl
        shifted = move(builder.bitcast(codes, words), emit.constant(words, abs(moved)))
        codes = builder.bitcast(shifted, Bytes.ir)
    return builder.and_(codes, emit.constant(Bytes.ir, (2**bits - 1) << place))


# --- integer dot products ---------------------------------------------------------------------


def _broadcast(builder, address, column):
    """Four activations at address + 4 * column, for every row: 64 bytes."""
    value = emit.load(builder, builder.add(address, ir.Constant(I64, 4 * column)), I32, 4)
    return builder.bitcast(emit.splat(builder, value), Bytes.ir)


def _dot_vnni(lanes):
    name, part = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", ir.VectorType(I8, 4 * lanes)

    def products(builder, total, codes, x):
        """total + codes (unsigned) . x (signed), four columns a lane."""
        pieces = [
            emit.call_intrinsic(
                builder, name, t.type, t, builder.bitcast(c, part), builder.bitcast(a, part)
            )
            for t, c, a in zip(
                emit.split(builder, total, lanes),
                emit.split(builder, codes, 4 * lanes),
                emit.split(builder, x, 4 * lanes),
                strict=True,
            )
        ]
        return emit.concat(builder, pieces)

    def dot(builder, sums, codes, x_address):
        for column, code in enumerate(codes):
            chain = column % len(sums)
            x = _broadcast(builder, x_address, column)
            sums[chain] = products(builder, sums[chain], code, x)
        return sums

    return dot


_W16, _W32 = ir.VectorType(I16, 16), ir.VectorType(I32, 8)
_B32 = ir.VectorType(I8, 32)


def _widen_pairs(builder, pairs):
    """vpmaddwd: 16-bit sums of two columns to 32-bit sums of four."""
    return emit.call_intrinsic(
        builder, "llvm.x86.avx2.pmadd.wd", _W32, pairs, emit.constant(_W16, 1)
    )


def _multiply_pairs(builder, codes, x):
    return emit.call_intrinsic(builder, "llvm.x86.avx2.pmadd.ub.sw", _W16, codes, x)


def _avx2_pairs(builder, codes, x_address):
    """vpmaddubsw sums of two columns: a list for each half of the rows."""
    halves = [[], []]
    for column, code in enumerate(codes):
        x = emit.split(builder, _broadcast(builder, x_address, column), 32)
        for half, part in enumerate(emit.split(builder, code, 32)):
            halves[half].append(_multiply_pairs(builder, part, x[half]))
    return halves


def _dot_avx2_small(builder, sums, codes, x_address):
    """Codes 0..31: four vpmaddubsw sums stay below 4 * 2 * 31 * 127 = 31496."""
    wide = []
    for pairs in _avx2_pairs(builder, codes, x_address):
        total = builder.add(builder.add(pairs[0], pairs[1]), builder.add(pairs[2], pairs[3]))
        wide.append(_widen_pairs(builder, total))
    sums[0] = builder.add(sums[0], emit.concat(builder, wide))
    return sums


def _dot_avx2_int6(builder, sums, codes, x_address):
    """Codes 0..63: two vpmaddubsw sums stay below 2 * 2 * 63 * 127 = 32004."""
    wide = []
    for pairs in _avx2_pairs(builder, codes, x_address):
        totals = [builder.add(pairs[i], pairs[i + 1]) for i in (0, 2)]
        wide.append(builder.add(*(_widen_pairs(builder, total) for total in totals)))
    sums[0] = builder.add(sums[0], emit.concat(builder, wide))
    return sums


def _dot_avx2_int8(builder, sums, codes, x_address):
    return _dot_avx2_levels(builder, sums, [_minus_128(builder, c) for c in codes], x_address)


def _dot_avx2_levels(builder, sums, levels, x_address):
    """Signed, as |w| times sign(w) * x: 2 * 128 * 127 = 32512 does not saturate."""
    for column, level in enumerate(levels):
        x = emit.split(builder, _broadcast(builder, x_address, column), 32)
        wide = []
        for half, w in enumerate(emit.split(builder, level, 32)):
            size = emit.call_intrinsic(
                builder, "llvm.abs.v32i8", _B32, w, ir.Constant(ir.IntType(1), 0)
            )
            signed = emit.call_intrinsic(builder, "llvm.x86.avx2.psign.b", _B32, x[half], w)
            wide.append(_widen_pairs(builder, _multiply_pairs(builder, size, signed)))
        chain = column % len(sums)
        sums[chain] = builder.add(sums[chain], emit.concat(builder, wide))
    return sums


_N16, _H8, _S4 = ir.VectorType(I8, 16), ir.VectorType(I16, 8), ir.VectorType(I32, 4)


def _lane(builder, x, column):
    """The 4 bytes of one column of x[16], in every lane: folds into `sdot v.4b[column]`."""
    return builder.bitcast(emit.shuffle(builder, builder.bitcast(x, _S4), [column] * 4), _N16)


def _dot_arm(codes_to_signed, quarter):
    """Dot products of 16 columns on NEON; `quarter` sums four rows."""

    def quarters(builder, totals, codes, x_address):
        """totals[i] + codes[i] . x, for quarters of 4 rows: codes[i] are 4 columns each."""
        x = emit.load(builder, x_address, _N16, 16)
        return [
            quarter(builder, total, [codes_to_signed(builder, code) for code in own], x)
            for total, own in zip(totals, codes, strict=True)
        ]

    def dot(builder, sums, codes, x_address):
        columns = [emit.split(builder, code, 16) for code in codes]
        totals = emit.split(builder, sums[0], 4)
        totals = quarters(builder, totals, list(zip(*columns, strict=True)), x_address)
        sums[0] = emit.concat(builder, totals)
        return sums

    dot.quarters = quarters
    return dot


def _dot_lanes(name):
    """sdot or usdot, whose four bytes of x are a lane of a register."""

    def quarter(builder, total, codes, x):
        for column, code in enumerate(codes):
            lane = _lane(builder, x, column)
            total = emit.call_intrinsic(
                builder, f"llvm.aarch64.neon.{name}.v4i32.v16i8", _S4, total, code, lane
            )
        return total

    return quarter


def _smlal(columns_per_sum, largest):
    """16-bit multiply-add of codes up to `largest`; so many products a lane, then widened."""
    pairs_fit = 2 * columns_per_sum * largest * 127 < 2**15

    def quarter(builder, total, codes, x):
        for start in range(0, 4, columns_per_sum):
            low = high = emit.constant(_H8, 0)
            for column in range(start, start + columns_per_sum):
                w = [builder.sext(part, _H8) for part in emit.split(builder, codes[column], 8)]
                a = [
                    builder.sext(p, _H8) for p in emit.split(builder, _lane(builder, x, column), 8)
                ]
                low = builder.add(low, builder.mul(w[0], a[0]))
                high = builder.add(high, builder.mul(w[1], a[1]))
            total = builder.add(total, _add_pairs(builder, low, high, pairs_fit))
        return total

    return quarter


def _add_pairs(builder, low, high, pairs_fit):
    """Sums of each row's four 16-bit sums (8 lanes = 2 rows) as 4 x int32."""
    if pairs_fit:  # into 16 bits
        pairs = emit.call_intrinsic(builder, "llvm.aarch64.neon.addp.v8i16", _H8, low, high)
        return emit.call_intrinsic(builder, "llvm.aarch64.neon.saddlp.v4i32.v8i16", _S4, pairs)
    wide = [
        emit.call_intrinsic(builder, "llvm.aarch64.neon.saddlp.v4i32.v8i16", _S4, p)
        for p in (low, high)
    ]
    return emit.call_intrinsic(builder, "llvm.aarch64.neon.addp.v4i32", _S4, *wide)


def _same(builder, codes):
    return codes


def _minus_128(builder, codes):
    return builder.xor(codes, emit.constant(codes.type, -128))


def _dot_plain(convert, signed):
    wide = ir.VectorType(I32, 64)

    def dot(builder, sums, codes, x_address):
        for column, code in enumerate(codes):
            x = builder.sext(_broadcast(builder, x_address, column), wide)
            extend = builder.sext if signed else builder.zext
            product = builder.mul(extend(convert(builder, code), wide), x)
            for i in range(4):
                part = emit.shuffle(builder, product, range(i, 64, 4))
                sums[0] = builder.add(sums[0], part)
        return sums

    return dot


SMALL = {
    "avx512vnni": _dot_vnni(16),
    "avxvnni": _dot_vnni(8),
    "avx2": _dot_avx2_small,
    "i8mm": _dot_arm(_same, _dot_lanes("usdot")),
    "dotprod": _dot_arm(_same, _dot_lanes("sdot")),
    "neon": _dot_arm(_same, _smlal(4, 31)),
    "plain": _dot_plain(_same, signed=False),
}
INT6 = {
    "avx512vnni": _dot_vnni(16),
    "avxvnni": _dot_vnni(8),
    "avx2": _dot_avx2_int6,
    "i8mm": _dot_arm(_same, _dot_lanes("usdot")),
    "dotprod": _dot_arm(_same, _dot_lanes("sdot")),
    "neon": _dot_arm(_same, _smlal(4, 63)),
    "plain": _dot_plain(_same, signed=False),
}
INT8 = {
    "avx512vnni": _dot_vnni(16),
    "avxvnni": _dot_vnni(8),
    "avx2": _dot_avx2_int8,
    "i8mm": _dot_arm(_same, _dot_lanes("usdot")),
    "dotprod": _dot_arm(_minus_128, _dot_lanes("sdot")),
    "neon": _dot_arm(_minus_128, _smlal(2, 128)),
    "plain": _dot_plain(_minus_128, signed=True),
}
LEVELS = {  # of a codebook
    "avx512vnni": _dot_vnni(16),
    "avxvnni": _dot_vnni(8),
    "avx2": _dot_avx2_levels,
    "i8mm": _dot_arm(_same, _dot_lanes("usdot")),
    "dotprod": _dot_arm(_same, _dot_lanes("sdot")),
    "neon": _dot_arm(_same, _smlal(2, 128)),
    "plain": _dot_plain(_same, signed=True),
}
UNSIGNED_INT8 = {"avx512vnni", "avxvnni", "i8mm"}  # here INT8 sums codes, not codes - 128


@block_op(lambda sums, codes, x, stride, tokens: sums(sums, codes, x, stride, tokens))
def dot16_small(isa, builder, values, args):
    """sums + codes . x over 16 columns, for codes 0..31.

    sums   Ints x (tokens * chains): a token's sums are the total of its chains
    codes  Bytes x 4: columns 0-3, 4-7, 8-11, 12-15
    x      address of 16 int8 activations of the block's first token; `stride` bytes to the next
    """
    sums, codes, x, stride, _ = values
    tokens = args[4].literal_value
    sums, codes = emit.unpack(builder, sums), emit.unpack(builder, codes)
    chains = len(sums) // tokens
    for t in range(tokens):
        own = sums[t * chains : (t + 1) * chains]
        address = emit.offset(builder, x, stride, t) if t else x
        sums[t * chains : (t + 1) * chains] = SMALL[isa](builder, own, codes, address)
    return emit.pack(builder, sums)


def _starts(needs_zero_point):
    """Intrinsic: sums that begin at each token's int32 at `address`, in the first chain."""

    def typing(address, stride, tokens, chains):
        count = tokens.literal_value * chains.literal_value
        return types.UniTuple(Ints, count)(address, stride, tokens, chains)

    @block_op(typing)
    def starts(isa, builder, values, args):
        tokens, chains = args[2].literal_value, args[3].literal_value
        zero = emit.constant(Ints.ir, 0)
        if needs_zero_point(isa):
            first = emit.splat_loads(builder, values[0], values[1], I32, tokens)
        else:
            first = [zero] * tokens
        return emit.pack(builder, [v for f in first for v in (f, *[zero] * (chains - 1))])

    return starts


small_starts = _starts(lambda isa: True)
int8_starts = _starts(lambda isa: isa in UNSIGNED_INT8)
