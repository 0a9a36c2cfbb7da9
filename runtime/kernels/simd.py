"""Vector types and intrinsics: the only file that knows instruction sets.

A weight tile is 16 rows high, so every vector here has 16 lanes, one a row:

    Bytes    64 x uint8    16 rows x 4 neighbouring columns (or packed codes of them)
    Ints     16 x int32    one integer sum a row
    Floats   16 x float32  one value a row (or 16 neighbouring elements of a vector)

LLVM splits a vector into as many registers as the target needs: one on AVX-512, two on AVX2,
four on NEON.  Only the integer dot products name an instruction, because their lane order is
part of the tile layout; they are chosen by the `isa` of the target being compiled for:

    avx512vnni, avxvnni   vpdpbusd
    avx2                  vpmaddubsw, vpmaddwd
    dotprod               sdot (ARMv8.2)
    neon                  smull, smlal, addp, sadalp (ARMv8.0)
    plain                 widening multiplies that any target has

Functions that take `sums` or `acc` work on a tuple of vectors, one a token of the block.
Addresses are int64 and byte offsets; nothing here checks them.
"""

import operator

from llvmlite import ir
from numba import float32, int32, int64, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, register_model

__all__ = ["float32", "int32", "int64"]  # the scalar types kernels use
LANES = 16
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()


class Vector(types.Type):
    """A vector of LLVM elements, held in registers."""

    def __init__(self, name, element, lanes):
        self.ir = ir.VectorType(element, lanes)
        super().__init__(name=name)


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.ir)


Bytes = Vector("Bytes", I8, 4 * LANES)
Ints = Vector("Ints", I32, LANES)
Floats = Vector("Floats", F32, LANES)
ADDRESS = types.int64


# --- IR helpers -----------------------------------------------------------------------------


def op(sig):
    """Make `build(builder, *values) -> value` an intrinsic of this signature."""

    def wrap(build):
        def codegen(context, builder, _, values):
            value = build(builder, *values)
            return context.get_dummy_value() if sig.return_type == types.void else value

        return _intrinsic(build.__name__, len(sig.args), lambda *args: (sig, codegen))

    return wrap


def block_op(typing):
    """Make `build(isa, builder, values, types) -> value` an intrinsic typed by `typing(*types)`."""

    def wrap(build):
        def resolve(*args):
            sig = typing(*args)

            def codegen(context, builder, sig, values):
                value = build(_isa(context), builder, values, sig.args)
                return context.get_dummy_value() if sig.return_type == types.void else value

            return sig, codegen

        return _intrinsic(build.__name__, typing.__code__.co_argcount, resolve)

    return wrap


def _intrinsic(name, arity, resolve):
    """Numba wants the typing function's own parameters counted."""
    typings = {
        0: lambda context: resolve(),
        1: lambda context, a: resolve(a),
        2: lambda context, a, b: resolve(a, b),
        3: lambda context, a, b, c: resolve(a, b, c),
        4: lambda context, a, b, c, d: resolve(a, b, c, d),
        5: lambda context, a, b, c, d, e: resolve(a, b, c, d, e),
        6: lambda context, a, b, c, d, e, f: resolve(a, b, c, d, e, f),
        7: lambda context, a, b, c, d, e, f, g: resolve(a, b, c, d, e, f, g),
    }
    typing = typings[arity]
    typing.__name__ = name
    return intrinsic(prefer_literal=True)(typing)


def _isa(context):
    return context.codegen().isa


def _pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def _load(builder, address, kind, align):
    value = builder.load(_pointer(builder, address, kind))
    value.align = align
    return value


def _store(builder, address, value, align):
    builder.store(value, _pointer(builder, address, value.type)).align = align


def _constant(kind, value):
    return ir.Constant(kind, [value] * kind.count)


def _splat(builder, scalar, lanes=LANES):
    kind = ir.VectorType(scalar.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return _shuffle(builder, first, [0] * lanes)


def _shuffle(builder, value, indices):
    undefined = ir.Constant(value.type, ir.Undefined)
    mask = ir.Constant(ir.VectorType(I32, len(indices)), list(indices))
    return builder.shuffle_vector(value, undefined, mask)


def _concat(builder, parts):
    """Join vectors, in order; the number of parts is a power of two."""
    while len(parts) > 1:
        width = parts[0].type.count
        mask = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
        parts = [
            builder.shuffle_vector(low, high, mask)
            for low, high in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def _split(builder, value, width):
    """Cut a vector into parts of `width` lanes."""
    count = value.type.count
    return [_shuffle(builder, value, range(i, i + width)) for i in range(0, count, width)]


def _call(builder, name, result, *args):
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _unpack(builder, block):
    return [builder.extract_value(block, i) for i in range(block.type.count)]


def _pack(builder, values):
    block = ir.Constant(ir.ArrayType(values[0].type, len(values)), ir.Undefined)
    for i, value in enumerate(values):
        block = builder.insert_value(block, value, i)
    return block


def _offset(builder, address, stride, index):
    """address + index * stride."""
    return builder.add(address, builder.mul(stride, ir.Constant(I64, index)))


def _from_half(isa, builder, half):
    """float16 to float32, exact; scalar or vector."""
    if isa != "plain":
        return builder.fpext(half, _like(half.type, F32))
    # A target without the instruction would call a function: shift the fields into place and
    # let a multiplication by 2**112 move the exponent, which makes subnormals right too.
    word, wide = _like(half.type, I16), _like(half.type, I32)
    bits = builder.zext(builder.bitcast(half, word), wide)
    sign = builder.shl(builder.and_(bits, _all(wide, 0x8000)), _all(wide, 16))
    rest = builder.shl(builder.and_(bits, _all(wide, 0x7FFF)), _all(wide, 13))
    value = builder.fmul(builder.bitcast(rest, _like(half.type, F32)), _all_floats(half, 2.0**112))
    return builder.bitcast(builder.or_(builder.bitcast(value, wide), sign), value.type)


def _to_half(isa, builder, value):
    """float32 of magnitude up to 65504 to the nearest float16, ties to even."""
    if isa != "plain":
        return builder.fptrunc(value, _like(value.type, F16))
    wide, word = _like(value.type, I32), _like(value.type, I16)
    bits = builder.bitcast(value, wide)
    sign = builder.and_(builder.lshr(bits, _all(wide, 16)), _all(wide, 0x8000))
    size = builder.bitcast(builder.and_(bits, _all(wide, 0x7FFFFFFF)), value.type)
    # Adding 2**13 times the value's power of two (at least float16's smallest) rounds to 11 bits.
    power = builder.and_(builder.bitcast(size, wide), _all(wide, 0x7F800000))
    small = builder.icmp_unsigned("<", power, _all(wide, 113 << 23))
    power = builder.select(small, _all(wide, 113 << 23), power)
    magic = builder.bitcast(builder.add(power, _all(wide, 13 << 23)), value.type)
    rounded = builder.fsub(builder.fadd(size, magic), magic)
    moved = builder.fmul(rounded, _all_floats(value, 2.0**-112))
    fields = builder.lshr(builder.bitcast(moved, wide), _all(wide, 13))
    return builder.bitcast(builder.trunc(builder.or_(fields, sign), word), _like(value.type, F16))


def _fused(isa, builder, a, b, c):
    """a * b + c: one rounding, where the target has an instruction for it."""
    if isa == "plain":
        return builder.fadd(builder.fmul(a, b), c)
    return _call(builder, f"llvm.fma.v{a.type.count}f32", a.type, a, b, c)


def _nearest(isa, builder, x):
    """The nearest integer as a float, ties to even; plain targets: for |x| < 2**22."""
    if isa == "plain":
        magic = _all(x.type, 1.5 * 2.0**23)
        return builder.fsub(builder.fadd(x, magic), magic)
    suffix = f"v{x.type.count}f32" if isinstance(x.type, ir.VectorType) else "f32"
    return _call(builder, f"llvm.rint.{suffix}", x.type, x)


def _like(kind, element):
    """`element`, or as many of them as `kind` has lanes."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def _all(kind, value):
    return _constant(kind, value) if isinstance(kind, ir.VectorType) else ir.Constant(kind, value)


def _all_floats(like, value):
    return _all(_like(like.type, F32), value)


# --- scalars ----------------------------------------------------------------------------------


def _loader(result, kind, widen=None):
    @op(result(ADDRESS))
    def load(builder, address):
        value = _load(builder, address, kind, kind.width // 8 if hasattr(kind, "width") else 2)
        return widen(builder, value) if widen else value

    return load


load_i64 = _loader(types.int64, I64)
load_i32 = _loader(types.int32, I32)
load_u8 = _loader(types.uint8, I8)
load_u16 = _loader(types.uint16, I16)


@op(types.float32(ADDRESS))
def load_f32(builder, address):
    return _load(builder, address, F32, 4)


@block_op(lambda address: types.float32(address))
def load_f16(isa, builder, values, args):
    return _from_half(isa, builder, _load(builder, values[0], F16, 2))


@op(types.void(ADDRESS, types.float32))
def store_f32(builder, address, value):
    _store(builder, address, value, 4)


@block_op(lambda address, value: types.void(address, types.float32))
def store_f16(isa, builder, values, args):
    _store(builder, values[0], _to_half(isa, builder, values[1]), 2)


@op(types.void(ADDRESS, types.int32))
def store_i32(builder, address, value):
    _store(builder, address, value, 4)


@op(types.void(ADDRESS, types.int64))
def store_u8(builder, address, value):
    _store(builder, address, builder.trunc(value, I8), 1)


@op(types.void(ADDRESS))
def prefetch(builder, address):
    """Fetch a line to the L2 cache; an address that is not there is no error."""
    hint = [ir.Constant(I32, n) for n in (0, 2, 1)]  # read, second level, data
    _call(builder, "llvm.prefetch.p0", ir.VoidType(), _pointer(builder, address, I8), *hint)


@op(types.float32(types.float32))
def sqrt(builder, value):
    return _call(builder, "llvm.sqrt.f32", F32, value)


# --- vectors of 16 floats ---------------------------------------------------------------------


@op(Floats(types.float32))
def splat(builder, value):
    return _splat(builder, value)


@op(Floats(ADDRESS))
def load_floats(builder, address):
    return _load(builder, address, Floats.ir, 4)


@block_op(lambda address: Floats(address))
def load_halves(isa, builder, values, args):
    half = _load(builder, values[0], ir.VectorType(F16, LANES), 2)
    return _from_half(isa, builder, half)


@op(Floats(ADDRESS))
def load_int8s(builder, address):
    """16 signed bytes as floats."""
    return builder.sitofp(_load(builder, address, ir.VectorType(I8, LANES), 1), Floats.ir)


@op(Floats(ADDRESS))
def load_low_nibbles(builder, address):
    """The low nibbles of 16 bytes, as floats 0..15."""
    codes = _load(builder, address, ir.VectorType(I8, LANES), 1)
    return builder.uitofp(builder.and_(codes, _constant(codes.type, 15)), Floats.ir)


@op(Floats(ADDRESS))
def load_high_nibbles(builder, address):
    """The high nibbles of 16 bytes, as floats 0..15."""
    codes = _load(builder, address, ir.VectorType(I8, LANES), 1)
    return builder.uitofp(builder.lshr(codes, _constant(codes.type, 4)), Floats.ir)


@op(types.void(ADDRESS, Floats))
def store_floats(builder, address, value):
    _store(builder, address, value, 4)


@block_op(lambda address, value: types.void(address, value))
def store_halves(isa, builder, values, args):
    _store(builder, values[0], _to_half(isa, builder, values[1]), 2)


@op(types.void(ADDRESS, Ints))
def store_int8s(builder, address, value):
    """Store 16 integers of -128..127 as bytes."""
    _store(builder, address, builder.trunc(value, ir.VectorType(I8, LANES)), 1)


@block_op(lambda value: Ints(value))
def round_to_int(isa, builder, values, args):
    """Nearest integers, ties to even, of magnitude below 2**22."""
    return builder.fptosi(_nearest(isa, builder, values[0]), Ints.ir)


@op(Floats(Ints))
def to_floats(builder, value):
    return builder.sitofp(value, Floats.ir)


@block_op(lambda a, b, c: Floats(a, b, c))
def fma(isa, builder, values, args):
    """a * b + c."""
    return _fused(isa, builder, *values)


@op(Floats(Floats, Floats))
def maximum(builder, a, b):
    return _call(builder, "llvm.maxnum.v16f32", Floats.ir, a, b)


@op(Floats(Floats, Floats))
def minimum(builder, a, b):
    return _call(builder, "llvm.minnum.v16f32", Floats.ir, a, b)


@op(Floats(Floats))
def absolute(builder, a):
    return _call(builder, "llvm.fabs.v16f32", Floats.ir, a)


def _reduce(builder, value, combine):
    """Halve 16 lanes four times: the order of the additions is the same on every target."""
    width = LANES
    while width > 1:
        width //= 2
        low, high = _split(builder, value, width)
        value = combine(builder, low, high)
    return builder.extract_element(value, ir.Constant(I32, 0))


@op(types.float32(Floats))
def sum_lanes(builder, a):
    return _reduce(builder, a, lambda b, x, y: b.fadd(x, y))


@op(types.float32(Floats))
def max_lanes(builder, a):
    return _reduce(
        builder,
        a,
        lambda b, x, y: _call(b, f"llvm.maxnum.v{x.type.count}f32", x.type, x, y),
    )


@op(types.int32(Ints))
def sum_int_lanes(builder, a):
    return _reduce(builder, a, lambda b, x, y: b.add(x, y))


@block_op(lambda x: Floats(x))
def exp(isa, builder, values, args):
    """e**x, relative error below 2e-7; below -87 the result is 0, above 88 it is e**88.

    2**n * p(r) with n = round(x / ln 2) and a degree-6 polynomial (Cephes expf).
    """
    x, kind = values[0], Floats.ir

    def c(value):
        return _constant(kind, value)

    def fused(a, b, d):
        return _fused(isa, builder, a, b, d)

    tiny = builder.fcmp_ordered("<", x, c(-87.0))
    x = _call(builder, "llvm.minnum.v16f32", kind, x, c(88.0))
    x = _call(builder, "llvm.maxnum.v16f32", kind, x, c(-87.0))
    n = _nearest(isa, builder, builder.fmul(x, c(1.44269504088896341)))
    r = fused(n, c(-0.693359375), x)
    r = fused(n, c(2.12194440e-4), r)
    p = c(1.9875691500e-4)
    for coefficient in (
        1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
    ):  # fmt: skip
        p = fused(p, r, c(coefficient))
    p = builder.fadd(fused(p, builder.fmul(r, r), r), c(1.0))
    exponent = builder.add(builder.fptosi(n, Ints.ir), _constant(Ints.ir, 127))
    power = builder.bitcast(builder.shl(exponent, _constant(Ints.ir, 23)), kind)
    return builder.select(tiny, c(0.0), builder.fmul(p, power))


def _arithmetic(operation, vector, build):
    """Lower `a operation b` on two vectors of a kind."""

    @infer_global(operation)
    class Typing(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and all(a == vector for a in args):
                return signature(vector, vector, vector)
            return None

    @lower_builtin(operation, vector, vector)
    def lower(context, builder, sig, args):
        return build(builder, *args)


_arithmetic(operator.add, Floats, lambda b, x, y: b.fadd(x, y))
_arithmetic(operator.sub, Floats, lambda b, x, y: b.fsub(x, y))
_arithmetic(operator.mul, Floats, lambda b, x, y: b.fmul(x, y))
_arithmetic(operator.truediv, Floats, lambda b, x, y: b.fdiv(x, y))
_arithmetic(operator.add, Ints, lambda b, x, y: b.add(x, y))


# --- packed codes -----------------------------------------------------------------------------


@op(Bytes(ADDRESS))
def load_bytes(builder, address):
    return _load(builder, address, Bytes.ir, 64)


def _field(shift, bits):
    """Intrinsic: bits [shift, shift + bits) of every byte, as a byte."""

    @op(Bytes(Bytes))
    def field(builder, codes):
        if shift:  # a 16-bit shift: x86 has none for bytes, and the mask drops what crosses
            words = ir.VectorType(I16, 2 * LANES)
            shifted = builder.lshr(builder.bitcast(codes, words), _constant(words, shift))
            codes = builder.bitcast(shifted, Bytes.ir)
        return builder.and_(codes, _constant(Bytes.ir, 2**bits - 1))

    return field


low_nibbles, high_nibbles = _field(0, 4), _field(4, 4)
crumbs0, crumbs1, crumbs2, crumbs3 = (_field(shift, 2) for shift in (0, 2, 4, 6))


@op(types.UniTuple(Bytes, 5)(Bytes))
def trits(builder, codes):
    """The five base-3 digits of bytes 0..242, most significant first.

    A digit is the integer part of 3 * codes / 256 when codes holds ceil(value * 256 / 243);
    the remainder modulo 256 carries the next one (llama.cpp's TQ1_0 uses the same identity).
    """
    words = ir.VectorType(I16, 4 * LANES)
    low_byte = _constant(words, 255)
    rest, digits = builder.zext(codes, words), []
    for _ in range(5):
        tripled = builder.mul(rest, _constant(words, 3))
        digits.append(builder.trunc(builder.lshr(tripled, _constant(words, 8)), Bytes.ir))
        rest = builder.and_(tripled, low_byte)
    return _pack(builder, digits)


# --- integer dot products ---------------------------------------------------------------------


def _broadcast(builder, address, column):
    """Four activations at address + 4 * column, for every row: 64 bytes."""
    value = _load(builder, builder.add(address, ir.Constant(I64, 4 * column)), I32, 4)
    return builder.bitcast(_splat(builder, value), Bytes.ir)


def _dot_vnni(lanes):
    name, part = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", ir.VectorType(I8, 4 * lanes)

    def products(builder, total, codes, x):
        """total + codes (unsigned) . x (signed), four columns a lane."""
        pieces = [
            _call(builder, name, t.type, t, builder.bitcast(c, part), builder.bitcast(a, part))
            for t, c, a in zip(
                _split(builder, total, lanes),
                _split(builder, codes, 4 * lanes),
                _split(builder, x, 4 * lanes),
                strict=True,
            )
        ]
        return _concat(builder, pieces)

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
    return _call(builder, "llvm.x86.avx2.pmadd.wd", _W32, pairs, _constant(_W16, 1))


def _multiply_pairs(builder, codes, x):
    return _call(builder, "llvm.x86.avx2.pmadd.ub.sw", _W16, codes, x)


def _dot_avx2_small(builder, sums, codes, x_address):
    """Codes 0..15: four vpmaddubsw sums stay below 4 * 2 * 15 * 127 = 15240."""
    halves = [[], []]
    for column, code in enumerate(codes):
        x = _split(builder, _broadcast(builder, x_address, column), 32)
        for half, part in enumerate(_split(builder, code, 32)):
            halves[half].append(_multiply_pairs(builder, part, x[half]))
    wide = []
    for pairs in halves:
        total = builder.add(builder.add(pairs[0], pairs[1]), builder.add(pairs[2], pairs[3]))
        wide.append(_widen_pairs(builder, total))
    sums[0] = builder.add(sums[0], _concat(builder, wide))
    return sums


def _dot_avx2_int8(builder, sums, codes, x_address):
    """Codes - 128 as |w| times sign(w) * x: 2 * 128 * 127 = 32512 does not saturate."""
    for column, code in enumerate(codes):
        x = _split(builder, _broadcast(builder, x_address, column), 32)
        wide = []
        for half, part in enumerate(_split(builder, code, 32)):
            w = builder.xor(part, ir.Constant(_B32, [-128] * 32))
            size = _call(builder, "llvm.abs.v32i8", _B32, w, ir.Constant(ir.IntType(1), 0))
            signed = _call(builder, "llvm.x86.avx2.psign.b", _B32, x[half], w)
            wide.append(_widen_pairs(builder, _multiply_pairs(builder, size, signed)))
        chain = column % len(sums)
        sums[chain] = builder.add(sums[chain], _concat(builder, wide))
    return sums


_N16, _H8, _S4 = ir.VectorType(I8, 16), ir.VectorType(I16, 8), ir.VectorType(I32, 4)


def _lane(builder, x, column):
    """The 4 bytes of one column of x[16], in every lane: folds into `sdot v.4b[column]`."""
    return builder.bitcast(_shuffle(builder, builder.bitcast(x, _S4), [column] * 4), _N16)


def _dot_arm(codes_to_signed, quarter):
    """Dot products of 16 columns on NEON; `quarter` sums four rows."""

    def dot(builder, sums, codes, x_address):
        x = _load(builder, x_address, _N16, 16)
        quarters = [_split(builder, codes_to_signed(builder, code), 16) for code in codes]
        totals = _split(builder, sums[0], 4)
        for i in range(4):
            totals[i] = quarter(builder, totals[i], [q[i] for q in quarters], x)
        sums[0] = _concat(builder, totals)
        return sums

    return dot


def _sdot(builder, total, codes, x):
    for column, code in enumerate(codes):
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        total = _call(builder, name, _S4, total, code, _lane(builder, x, column))
    return total


def _smlal(columns_per_sum):
    """16-bit multiply-add; `columns_per_sum` products a lane fit, then they are widened."""

    def quarter(builder, total, codes, x):
        for start in range(0, 4, columns_per_sum):
            low = high = _constant(_H8, 0)
            for column in range(start, start + columns_per_sum):
                w = [builder.sext(part, _H8) for part in _split(builder, codes[column], 8)]
                a = [builder.sext(p, _H8) for p in _split(builder, _lane(builder, x, column), 8)]
                low = builder.add(low, builder.mul(w[0], a[0]))
                high = builder.add(high, builder.mul(w[1], a[1]))
            total = builder.add(total, _add_pairs(builder, low, high, columns_per_sum))
        return total

    return quarter


def _add_pairs(builder, low, high, columns):
    """Sums of each row's four 16-bit products (8 lanes = 2 rows) as 4 x int32."""
    if columns == 4:  # codes 0..15: 4 * 15 * 127 = 7620 a lane, a pair of them still fits
        pairs = _call(builder, "llvm.aarch64.neon.addp.v8i16", _H8, low, high)
        return _call(builder, "llvm.aarch64.neon.saddlp.v4i32.v8i16", _S4, pairs)
    wide = [_call(builder, "llvm.aarch64.neon.saddlp.v4i32.v8i16", _S4, p) for p in (low, high)]
    return _call(builder, "llvm.aarch64.neon.addp.v4i32", _S4, *wide)


def _same(builder, codes):
    return codes


def _minus_128(builder, codes):
    return builder.xor(codes, ir.Constant(Bytes.ir, [-128] * 64))


def _dot_plain(to_signed):
    wide = ir.VectorType(I32, 64)

    def dot(builder, sums, codes, x_address):
        for column, code in enumerate(codes):
            x = builder.sext(_broadcast(builder, x_address, column), wide)
            w = to_signed(builder, code)
            extend = builder.zext if to_signed is _same else builder.sext
            product = builder.mul(extend(w, wide), x)
            for i in range(4):
                part = _shuffle(builder, product, range(i, 64, 4))
                sums[0] = builder.add(sums[0], part)
        return sums

    return dot


_DOT_SMALL = {
    "avx512vnni": _dot_vnni(16),
    "avxvnni": _dot_vnni(8),
    "avx2": _dot_avx2_small,
    "dotprod": _dot_arm(_same, _sdot),
    "neon": _dot_arm(_same, _smlal(4)),
    "plain": _dot_plain(_same),
}
_DOT_INT8 = {
    "avx512vnni": _dot_vnni(16),
    "avxvnni": _dot_vnni(8),
    "avx2": _dot_avx2_int8,
    "dotprod": _dot_arm(_minus_128, _sdot),
    "neon": _dot_arm(_minus_128, _smlal(2)),
    "plain": _dot_plain(_minus_128),
}
_UNSIGNED_INT8 = {"avx512vnni", "avxvnni"}  # here dot16_int8 sums codes, not codes - 128


def _dot16(table):
    def typing(sums, codes, x, stride, tokens):
        return sums(sums, codes, x, stride, tokens)

    @block_op(typing)
    def dot16(isa, builder, values, args):
        sums, codes, x, stride, _ = values
        tokens = args[4].literal_value
        sums, codes = _unpack(builder, sums), _unpack(builder, codes)
        chains = len(sums) // tokens
        for t in range(tokens):
            own = sums[t * chains : (t + 1) * chains]
            address = _offset(builder, x, stride, t) if t else x
            sums[t * chains : (t + 1) * chains] = table[isa](builder, own, codes, address)
        return _pack(builder, sums)

    return dot16


dot16_small = _dot16(_DOT_SMALL)
dot16_small.__doc__ = """sums + codes . x over 16 columns, for codes 0..15.

sums   Ints x (tokens * chains): a token's sums are the total of its chains
codes  Bytes x 4: columns 0-3, 4-7, 8-11, 12-15
x      address of 16 int8 activations of the block's first token; `stride` bytes to the next
"""
dot16_int8 = _dot16(_DOT_INT8)
dot16_int8.__doc__ = """The same for codes 0..255 that mean code - 128; begin with `int8_starts`."""


def _splat_loads(builder, address, stride, kind, tokens):
    """One scalar a token, each in all lanes."""
    return [
        _splat(
            builder, _load(builder, _offset(builder, address, stride, t) if t else address, kind, 4)
        )
        for t in range(tokens)
    ]


def _starts(needs_zero_point):
    """Intrinsic: sums that begin at each token's int32 at `address`, in the first chain."""

    def typing(address, stride, tokens, chains):
        count = tokens.literal_value * chains.literal_value
        return types.UniTuple(Ints, count)(address, stride, tokens, chains)

    @block_op(typing)
    def starts(isa, builder, values, args):
        tokens, chains = args[2].literal_value, args[3].literal_value
        zero = _constant(Ints.ir, 0)
        if needs_zero_point(isa):
            first = _splat_loads(builder, values[0], values[1], I32, tokens)
        else:
            first = [zero] * tokens
        return _pack(builder, [v for f in first for v in (f, *[zero] * (chains - 1))])

    return starts


small_starts = _starts(lambda isa: True)
int8_starts = _starts(lambda isa: isa in _UNSIGNED_INT8)


def _floats_block(tokens):
    return types.UniTuple(Floats, tokens.literal_value)


@block_op(lambda tokens: _floats_block(tokens)(tokens))
def zero_floats(isa, builder, values, args):
    return _pack(builder, [_constant(Floats.ir, 0.0)] * args[0].literal_value)


@block_op(lambda acc, sums, scale, x_scales, stride: acc(acc, sums, scale, x_scales, stride))
def add_scaled(isa, builder, values, args):
    """acc[t] + sums[t] * (scale * x_scale[t]); a token's chains are added first."""
    acc, sums = _unpack(builder, values[0]), _unpack(builder, values[1])
    x_scales = _splat_loads(builder, values[3], values[4], F32, len(acc))
    chains = len(sums) // len(acc)
    for t, x_scale in enumerate(x_scales):
        total = sums[t * chains]
        for other in sums[t * chains + 1 : (t + 1) * chains]:
            total = builder.add(total, other)
        scale = builder.fmul(values[2], x_scale)
        value = builder.sitofp(total, Floats.ir)
        acc[t] = _fused(isa, builder, value, scale, acc[t])
    return _pack(builder, acc)


@block_op(lambda acc, w, x, stride: acc(acc, w, x, stride))
def add_outer(isa, builder, values, args):
    """acc[t] + w * x[t], x a float32 at `x` + t * stride."""
    acc = _unpack(builder, values[0])
    x = _splat_loads(builder, values[2], values[3], F32, len(acc))
    for t, value in enumerate(x):
        acc[t] = _fused(isa, builder, values[1], value, acc[t])
    return _pack(builder, acc)


@block_op(lambda acc, row, stride: acc(acc, row, stride))
def add_rows(isa, builder, values, args):
    """acc[t] + the 16 floats at `row` + t * stride."""
    acc = _unpack(builder, values[0])
    for t, value in enumerate(acc):
        address = _offset(builder, values[1], values[2], t)
        acc[t] = builder.fadd(value, _load(builder, address, Floats.ir, 4))
    return _pack(builder, acc)


@block_op(lambda acc, row, stride: types.void(acc, row, stride))
def store_rows(isa, builder, values, args):
    """Store the 16 floats of each token at `row` + t * stride."""
    for t, value in enumerate(_unpack(builder, values[0])):
        _store(builder, _offset(builder, values[1], values[2], t), value, 4)


@block_op(
    lambda tokens, chains: types.UniTuple(Ints, tokens.literal_value * chains.literal_value)(
        tokens, chains
    )
)
def zero_ints(isa, builder, values, args):
    count = args[0].literal_value * args[1].literal_value
    return _pack(builder, [_constant(Ints.ir, 0)] * count)


# --- threads ----------------------------------------------------------------------------------


@op(types.int64(ADDRESS))
def load_acquire(builder, address):
    return builder.load_atomic(_pointer(builder, address, I64), "seq_cst", 8)


@op(types.void(ADDRESS, types.int64))
def store_release(builder, address, value):
    builder.store_atomic(value, _pointer(builder, address, I64), "seq_cst", 8)


@op(types.int64(ADDRESS, types.int64))
def fetch_add(builder, address, value):
    """Add to the integer at `address`; what was there before."""
    return builder.atomic_rmw("add", _pointer(builder, address, I64), value, "seq_cst")


@op(types.boolean(ADDRESS, types.int64, types.int64))
def compare_and_swap(builder, address, expected, value):
    """Replace `expected` by `value`; whether it was there."""
    pointer = _pointer(builder, address, I64)
    pair = builder.cmpxchg(pointer, expected, value, "seq_cst", "seq_cst")
    return builder.extract_value(pair, 1)


@block_op(lambda: types.void())
def pause(isa, builder, values, args):
    """Tell the core that this is a waiting loop."""
    if isa in ("avx512vnni", "avxvnni", "avx2"):
        _call(builder, "llvm.x86.sse2.pause", ir.VoidType())
    elif isa in ("dotprod", "neon"):
        # `isb` waits some ten nanoseconds; `yield` does nothing on most cores.
        _call(builder, "llvm.aarch64.isb", ir.VoidType(), ir.Constant(I32, 15))


@op(types.void(ADDRESS, types.int64, types.int64, types.int64))
def call_kernel(builder, address, args, chunk, scratch):
    """The C function at `address`."""
    kind = ir.FunctionType(ir.VoidType(), [I64] * 3)
    builder.call(_pointer(builder, address, kind), [args, chunk, scratch])


@op(types.int64(ADDRESS))
def call0(builder, address):
    return builder.call(_pointer(builder, address, ir.FunctionType(I64, [])), [])


@op(types.int64(ADDRESS, types.int64, types.int64, types.int64, types.int64))
def call_futex(builder, address, number, word, operation, value):
    """syscall(number, word, operation, value, no timeout)."""
    kind = ir.FunctionType(I64, [I64] * 5)
    arguments = [number, word, operation, value, ir.Constant(I64, 0)]
    return builder.call(_pointer(builder, address, kind), arguments)


@block_op(lambda acc, factor: acc(acc, factor))
def scale_rows(isa, builder, values, args):
    """acc[t] * factor."""
    return _pack(builder, [builder.fmul(v, values[1]) for v in _unpack(builder, values[0])])


@block_op(lambda acc, block, factor: acc(acc, block, factor))
def add_products(isa, builder, values, args):
    """acc[t] + block[t] * factor."""
    pairs = zip(_unpack(builder, values[0]), _unpack(builder, values[1]), strict=True)
    return _pack(builder, [_fused(isa, builder, b, values[2], a) for a, b in pairs])


@block_op(lambda value: types.float32(value))
def rint(isa, builder, values, args):
    """The nearest integer, ties to even, of magnitude below 2**22."""
    return _nearest(isa, builder, values[0])
