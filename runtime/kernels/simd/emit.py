"""LLVM instructions from Python: the vector types, and how a builder becomes an intrinsic."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

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
                value = build(isa_of(context), builder, values, sig.args)
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


def isa_of(context):
    return context.codegen().isa


def pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def load(builder, address, kind, align):
    value = builder.load(pointer(builder, address, kind))
    value.align = align
    return value


def store(builder, address, value, align):
    builder.store(value, pointer(builder, address, value.type)).align = align


def constant(kind, value):
    return ir.Constant(kind, [value] * kind.count)


def splat(builder, scalar, lanes=LANES):
    kind = ir.VectorType(scalar.type, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return shuffle(builder, first, [0] * lanes)


def shuffle(builder, value, indices):
    undefined = ir.Constant(value.type, ir.Undefined)
    mask = ir.Constant(ir.VectorType(I32, len(indices)), list(indices))
    return builder.shuffle_vector(value, undefined, mask)


def concat(builder, parts):
    """Join vectors, in order; the number of parts is a power of two."""
    while len(parts) > 1:
        width = parts[0].type.count
        mask = ir.Constant(ir.VectorType(I32, 2 * width), list(range(2 * width)))
        parts = [
            builder.shuffle_vector(low, high, mask)
            for low, high in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def split(builder, value, width):
    """Cut a vector into parts of `width` lanes."""
    count = value.type.count
    return [shuffle(builder, value, range(i, i + width)) for i in range(0, count, width)]


def call_intrinsic(builder, name, result, *args):
    kind = ir.FunctionType(result, [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def unpack(builder, block):
    return [builder.extract_value(block, i) for i in range(block.type.count)]


def pack(builder, values):
    block = ir.Constant(ir.ArrayType(values[0].type, len(values)), ir.Undefined)
    for i, value in enumerate(values):
        block = builder.insert_value(block, value, i)
    return block


def offset(builder, address, stride, index):
    """address + index * stride."""
    return builder.add(address, builder.mul(stride, ir.Constant(I64, index)))


def from_half(isa, builder, half):
    """float16 to float32, exact; scalar or vector."""
    if isa != "plain":
        return builder.fpext(half, like(half.type, F32))
    # A target without the instruction would call a function: shift the fields into place and
    # let a multiplication by 2**112 move the exponent, which makes subnormals right too.
    word, wide = like(half.type, I16), like(half.type, I32)
    bits = builder.zext(builder.bitcast(half, word), wide)
    sign = builder.shl(builder.and_(bits, every(wide, 0x8000)), every(wide, 16))
    rest = builder.shl(builder.and_(bits, every(wide, 0x7FFF)), every(wide, 13))
    value = builder.fmul(builder.bitcast(rest, like(half.type, F32)), all_floats(half, 2.0**112))
    return builder.bitcast(builder.or_(builder.bitcast(value, wide), sign), value.type)


def to_half(isa, builder, value):
    """float32 of magnitude up to 65504 to the nearest float16, ties to even."""
    if isa != "plain":
        return builder.fptrunc(value, like(value.type, F16))
    wide, word = like(value.type, I32), like(value.type, I16)
    bits = builder.bitcast(value, wide)
    sign = builder.and_(builder.lshr(bits, every(wide, 16)), every(wide, 0x8000))
    size = builder.bitcast(builder.and_(bits, every(wide, 0x7FFFFFFF)), value.type)
    # Adding 2**13 times the value's power of two (at least float16's smallest) rounds to 11 bits.
    power = builder.and_(builder.bitcast(size, wide), every(wide, 0x7F800000))
    small = builder.icmp_unsigned("<", power, every(wide, 113 << 23))
    power = builder.select(small, every(wide, 113 << 23), power)
    magic = builder.bitcast(builder.add(power, every(wide, 13 << 23)), value.type)
    rounded = builder.fsub(builder.fadd(size, magic), magic)
    moved = builder.fmul(rounded, all_floats(value, 2.0**-112))
    fields = builder.lshr(builder.bitcast(moved, wide), every(wide, 13))
    return builder.bitcast(builder.trunc(builder.or_(fields, sign), word), like(value.type, F16))


def fused(isa, builder, a, b, c):
    """a * b + c: one rounding, where the target has an instruction for it."""
    if isa == "plain":
        return builder.fadd(builder.fmul(a, b), c)
    return call_intrinsic(builder, f"llvm.fma.v{a.type.count}f32", a.type, a, b, c)


def nearest(isa, builder, x):
    """The nearest integer as a float, ties to even; plain targets: for |x| < 2**22."""
    if isa == "plain":
        magic = every(x.type, 1.5 * 2.0**23)
        return builder.fsub(builder.fadd(x, magic), magic)
    suffix = f"v{x.type.count}f32" if isinstance(x.type, ir.VectorType) else "f32"
    return call_intrinsic(builder, f"llvm.rint.{suffix}", x.type, x)


def like(kind, element):
    """`element`, or as many of them as `kind` has lanes."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def every(kind, value):
    return constant(kind, value) if isinstance(kind, ir.VectorType) else ir.Constant(kind, value)


def all_floats(x, value):
    return every(like(x.type, F32), value)


def splat_loads(builder, address, stride, kind, tokens, lanes=LANES):
    """One scalar a token, each in all lanes."""
    return [
        splat(
            builder,
            load(builder, offset(builder, address, stride, t) if t else address, kind, 4),
            lanes,
        )
        for t in range(tokens)
    ]
