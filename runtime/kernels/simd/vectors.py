"""Scalars, and vectors of 16 floats: load, store, arithmetic, exp."""

import operator

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from ..normal import LIMIT, TAIL
from . import emit
from .emit import ADDRESS, F16, F32, I8, I16, I32, I64, LANES, Floats, Ints, block_op, op


def _loader(result, kind, widen=None):
    @op(result(ADDRESS))
    def load(builder, address):
        value = emit.load(builder, address, kind, kind.width // 8 if hasattr(kind, "width") else 2)
        return widen(builder, value) if widen else value

    return load


load_i64 = _loader(types.int64, I64)
load_i32 = _loader(types.int32, I32)
load_u8 = _loader(types.uint8, I8)
load_u16 = _loader(types.uint16, I16)


@op(types.float32(ADDRESS))
def load_f32(builder, address):
    return emit.load(builder, address, F32, 4)


@block_op(lambda address: types.float32(address))
def load_f16(isa, builder, values, args):
    return emit.from_half(isa, builder, emit.load(builder, values[0], F16, 2))


@op(types.void(ADDRESS, types.float32))
def store_f32(builder, address, value):
    emit.store(builder, address, value, 4)


@block_op(lambda address, value: types.void(address, types.float32))
def store_f16(isa, builder, values, args):
    emit.store(builder, values[0], emit.to_half(isa, builder, values[1]), 2)


@op(types.void(ADDRESS, types.int32))
def store_i32(builder, address, value):
    emit.store(builder, address, value, 4)


@op(types.void(ADDRESS, types.int64))
def store_i64(builder, address, value):
    emit.store(builder, address, value, 8)


@op(types.void(ADDRESS, types.int64))
def store_u8(builder, address, value):
    emit.store(builder, address, builder.trunc(value, I8), 1)


@op(types.void(ADDRESS))
def prefetch(builder, address):
    """Fetch a line to the L2 cache; an address that is not there is no error."""
    hint = [ir.Constant(I32, n) for n in (0, 2, 1)]  # read, second level, data
    emit.call_intrinsic(
        builder, "llvm.prefetch.p0", ir.VoidType(), emit.pointer(builder, address, I8), *hint
    )


@op(types.float32(types.float32))
def sqrt(builder, value):
    return emit.call_intrinsic(builder, "llvm.sqrt.f32", F32, value)


# --- vectors of 16 floats ---------------------------------------------------------------------


@op(Floats(types.float32))
def splat(builder, value):
    return emit.splat(builder, value)


@op(Floats(ADDRESS))
def load_floats(builder, address):
    return emit.load(builder, address, Floats.ir, 4)


@block_op(lambda address: Floats(address))
def load_halves(isa, builder, values, args):
    half = emit.load(builder, values[0], ir.VectorType(F16, LANES), 2)
    return emit.from_half(isa, builder, half)


@op(Floats(ADDRESS))
def load_int8s(builder, address):
    """16 signed bytes as floats."""
    return builder.sitofp(emit.load(builder, address, ir.VectorType(I8, LANES), 1), Floats.ir)


@op(Floats(ADDRESS))
def load_low_nibbles(builder, address):
    """The low nibbles of 16 bytes, as floats 0..15."""
    codes = emit.load(builder, address, ir.VectorType(I8, LANES), 1)
    return builder.uitofp(builder.and_(codes, emit.constant(codes.type, 15)), Floats.ir)


@op(Floats(ADDRESS))
def load_high_nibbles(builder, address):
    """The high nibbles of 16 bytes, as floats 0..15."""
    codes = emit.load(builder, address, ir.VectorType(I8, LANES), 1)
    return builder.uitofp(builder.lshr(codes, emit.constant(codes.type, 4)), Floats.ir)


@op(types.void(ADDRESS, Floats))
def store_floats(builder, address, value):
    emit.store(builder, address, value, 4)


@block_op(lambda address, value: types.void(address, value))
def store_halves(isa, builder, values, args):
    emit.store(builder, values[0], emit.to_half(isa, builder, values[1]), 2)


@op(types.void(ADDRESS, Ints))
def store_int8s(builder, address, value):
    """Store 16 integers of -128..127 as bytes."""
    emit.store(builder, address, builder.trunc(value, ir.VectorType(I8, LANES)), 1)


@block_op(lambda value: Ints(value))
def round_to_int(isa, builder, values, args):
    """Nearest integers, ties to even, of magnitude below 2**22."""
    return builder.fptosi(emit.nearest(isa, builder, values[0]), Ints.ir)


@op(Floats(Ints))
def to_floats(builder, value):
    return builder.sitofp(value, Floats.ir)


@block_op(lambda a, b, c: Floats(a, b, c))
def fma(isa, builder, values, args):
    """a * b + c."""
    return emit.fused(isa, builder, *values)


@op(Floats(Floats, Floats))
def maximum(builder, a, b):
    return emit.call_intrinsic(builder, "llvm.maxnum.v16f32", Floats.ir, a, b)


@op(Floats(Floats, Floats))
def minimum(builder, a, b):
    return emit.call_intrinsic(builder, "llvm.minnum.v16f32", Floats.ir, a, b)


@op(Floats(Floats))
def roots(builder, a):
    """The square root of each."""
    return emit.call_intrinsic(builder, "llvm.sqrt.v16f32", Floats.ir, a)


@op(Floats(Floats))
def absolute(builder, a):
    return emit.call_intrinsic(builder, "llvm.fabs.v16f32", Floats.ir, a)


def _reduce(builder, value, combine):
    """Halve 16 lanes four times: the order of the additions is the same on every target."""
    width = LANES
    while width > 1:
        width //= 2
        low, high = emit.split(builder, value, width)
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
        lambda b, x, y: emit.call_intrinsic(b, f"llvm.maxnum.v{x.type.count}f32", x.type, x, y),
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
        return emit.constant(kind, value)

    def fused(a, b, d):
        return emit.fused(isa, builder, a, b, d)

    tiny = builder.fcmp_ordered("<", x, c(-87.0))
    x = emit.call_intrinsic(builder, "llvm.minnum.v16f32", kind, x, c(88.0))
    x = emit.call_intrinsic(builder, "llvm.maxnum.v16f32", kind, x, c(-87.0))
    n = emit.nearest(isa, builder, builder.fmul(x, c(1.44269504088896341)))
    r = fused(n, c(-0.693359375), x)
    r = fused(n, c(2.12194440e-4), r)
    p = c(1.9875691500e-4)
    for coefficient in (
        1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
    ):  # fmt: skip
        p = fused(p, r, c(coefficient))
    p = builder.fadd(fused(p, builder.fmul(r, r), r), c(1.0))
    exponent = builder.add(builder.fptosi(n, Ints.ir), emit.constant(Ints.ir, 127))
    power = builder.bitcast(builder.shl(exponent, emit.constant(Ints.ir, 23)), kind)
    return builder.select(tiny, c(0.0), builder.fmul(p, power))


@block_op(lambda x: Floats(x))
def normal_tail(isa, builder, values, args):
    """P(Z > x) of a standard normal Z, for 0 <= x <= LIMIT (see kernels/normal.py)."""
    scale, one = (emit.constant(Floats.ir, c) for c in (2 / LIMIT, -1.0))
    t = emit.fused(isa, builder, values[0], scale, one)
    p = emit.constant(Floats.ir, TAIL[0])
    for coefficient in TAIL[1:]:
        p = emit.fused(isa, builder, p, t, emit.constant(Floats.ir, coefficient))
    return p


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


@block_op(lambda value: types.float32(value))
def rint(isa, builder, values, args):
    """The nearest integer, ties to even, of magnitude below 2**22."""
    return emit.nearest(isa, builder, values[0])
