"""Operations on a block of tokens: a tuple of vectors, one a token."""

from llvmlite import ir
from numba import types

from . import emit
from .emit import F32, I64, Floats, block_op


def _floats_block(tokens):
    return types.UniTuple(Floats, tokens.literal_value)


@block_op(lambda: types.boolean())
def few_registers(isa, builder, values, args):
    """Whether 8 vectors leave no register free: known when compiling, so a branch costs nothing."""
    return ir.Constant(ir.IntType(1), isa != "avx512vnni")


@block_op(lambda tokens: _floats_block(tokens)(tokens))
def zero_floats(isa, builder, values, args):
    return emit.pack(builder, [emit.constant(Floats.ir, 0.0)] * args[0].literal_value)


def _half_block(acc):
    return types.UniTuple(acc.dtype, acc.count // 2)(acc)


@block_op(_half_block)
def first_half(isa, builder, values, args):
    acc = emit.unpack(builder, values[0])
    return emit.pack(builder, acc[: len(acc) // 2])


@block_op(_half_block)
def second_half(isa, builder, values, args):
    acc = emit.unpack(builder, values[0])
    return emit.pack(builder, acc[len(acc) // 2 :])


@block_op(lambda acc, sums, scale, x_scales, stride: acc(acc, sums, scale, x_scales, stride))
def add_scaled(isa, builder, values, args):
    """acc[t] + sums[t] * (scale * x_scale[t]); a token's chains are added first."""
    acc, sums = emit.unpack(builder, values[0]), emit.unpack(builder, values[1])
    x_scales = emit.splat_loads(builder, values[3], values[4], F32, len(acc))
    chains = len(sums) // len(acc)
    for t, x_scale in enumerate(x_scales):
        total = sums[t * chains]
        for other in sums[t * chains + 1 : (t + 1) * chains]:
            total = builder.add(total, other)
        scale = builder.fmul(values[2], x_scale)
        value = builder.sitofp(total, Floats.ir)
        acc[t] = emit.fused(isa, builder, value, scale, acc[t])
    return emit.pack(builder, acc)


@block_op(lambda acc, w, x, stride: acc(acc, w, x, stride))
def add_outer(isa, builder, values, args):
    """acc[t] + w * x[t], x a float32 at `x` + t * stride."""
    acc = emit.unpack(builder, values[0])
    x = emit.splat_loads(builder, values[2], values[3], F32, len(acc))
    for t, value in enumerate(x):
        acc[t] = emit.fused(isa, builder, values[1], value, acc[t])
    return emit.pack(builder, acc)


@block_op(lambda acc, row, stride: acc(acc, row, stride))
def add_rows(isa, builder, values, args):
    """acc[t] + the 16 floats at `row` + t * stride."""
    acc = emit.unpack(builder, values[0])
    for t, value in enumerate(acc):
        address = emit.offset(builder, values[1], values[2], t)
        acc[t] = builder.fadd(value, emit.load(builder, address, Floats.ir, 4))
    return emit.pack(builder, acc)


@block_op(lambda acc, row, stride: types.void(acc, row, stride))
def store_rows(isa, builder, values, args):
    """Store the 16 floats of each token at `row` + t * stride."""
    for t, value in enumerate(emit.unpack(builder, values[0])):
        emit.store(builder, emit.offset(builder, values[1], values[2], t), value, 4)


@block_op(lambda acc, factor: acc(acc, factor))
def scale_rows(isa, builder, values, args):
    """acc[t] * factor."""
    return emit.pack(builder, [builder.fmul(v, values[1]) for v in emit.unpack(builder, values[0])])


@block_op(lambda acc, block, factor: acc(acc, block, factor))
def add_products(isa, builder, values, args):
    """acc[t] + block[t] * factor."""
    pairs = zip(emit.unpack(builder, values[0]), emit.unpack(builder, values[1]), strict=True)
    return emit.pack(builder, [emit.fused(isa, builder, b, values[2], a) for a, b in pairs])


@block_op(lambda acc, x, w: acc(acc, x, w))
def add_rows_times(isa, builder, values, args):
    """acc[t] + the 16 floats at `x` + 64 t times those at `w` + 64 t."""
    acc = emit.unpack(builder, values[0])
    for t, value in enumerate(acc):
        x, w = (
            emit.load(builder, builder.add(at, ir.Constant(I64, 64 * t)), Floats.ir, 4)
            for at in values[1:]
        )
        acc[t] = emit.fused(isa, builder, x, w, value)
    return emit.pack(builder, acc)


@block_op(lambda acc, row, stride: acc(acc, row, stride))
def max_rows(isa, builder, values, args):
    """The larger of acc[t] and the 16 floats at `row` + t * stride."""
    acc = emit.unpack(builder, values[0])
    for t, value in enumerate(acc):
        row = emit.load(builder, emit.offset(builder, values[1], values[2], t), Floats.ir, 4)
        acc[t] = _larger(builder, value, row)
    return emit.pack(builder, acc)


@block_op(lambda acc, low, high: acc(acc, low, high))
def clamp_rows(isa, builder, values, args):
    """acc[t] between low and high."""
    acc = [_larger(builder, v, values[1]) for v in emit.unpack(builder, values[0])]
    return emit.pack(builder, [_smaller(builder, v, values[2]) for v in acc])


@block_op(lambda tokens, value: _floats_block(tokens)(tokens, value))
def splat_rows(isa, builder, values, args):
    """The same vector for each token."""
    return emit.pack(builder, [values[1]] * args[0].literal_value)


def _larger(builder, a, b):
    return emit.call_intrinsic(builder, "llvm.maxnum.v16f32", Floats.ir, a, b)


def _smaller(builder, a, b):
    return emit.call_intrinsic(builder, "llvm.minnum.v16f32", Floats.ir, a, b)
