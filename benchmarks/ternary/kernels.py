"""Ternary times int8 for one token, without multiplying: by additions, by looking sums up.

Rows of arguments are (w, x or tables, out, tiles), weights as layouts.py has them; out gets int32
sums [rows].  The number of columns is compiled in.
"""

from llvmlite import ir
from numba import types

from edge.runtime.kernels.matmul import arg
from edge.runtime.kernels.simd import codebooks, emit
from edge.runtime.kernels.simd.emit import I8, I16, I32, I64, Bytes, block_op

ARM = ("neon", "dotprod", "i8mm")
ADDED = 512  # columns that 16-bit sums of pairs hold: 64 * 2 * 127
LOOKED_UP = 256  # columns that 16-bit sums of look-ups hold: 64 * 4 * 127
BYTES, HALVES, WORDS = ir.VectorType(I8, 16), ir.VectorType(I16, 8), ir.VectorType(I32, 4)
QUADS, ALL = ir.VectorType(I64, 8), ir.VectorType(I8, 64)


def _zero(count):
    @block_op(lambda: types.UniTuple(Bytes, count)())
    def zero(isa, builder, values, args):
        return emit.pack(builder, [emit.constant(Bytes.ir, 0)] * count)

    return zero


zero_two, zero_four = _zero(2), _zero(4)


def _as(builder, block, kind):
    """Vectors of another type, of the same bits."""
    width = kind.count * kind.element.width // 8
    parts = [p for v in emit.unpack(builder, block) for p in emit.split(builder, v, width)]
    return [builder.bitcast(part, kind) for part in parts]


def _back(builder, vectors):
    """The inverse of `_as`."""
    small = [
        builder.bitcast(v, ir.VectorType(I8, v.type.count * v.type.element.width // 8))
        for v in vectors
    ]
    each = 64 // small[0].type.count
    groups = [small[i : i + each] for i in range(0, len(small), each)]
    return emit.pack(builder, [emit.concat(builder, group) for group in groups])


# --- additions ------------------------------------------------------------------------------------


@block_op(lambda sums, w, x: sums(sums, w, x))
def add_eight(isa, builder, values, args):
    """Sums of 16 rows, and 8 columns more: x where a weight is 1, less x where it is -1."""
    sums, w, x = values
    add = _add_neon if isa in ARM else _add_avx512
    return add(builder, sums, w, emit.load(builder, x, I64, 8))


def _add_avx512(builder, sums, w, x):
    """vpsadbw adds 8 bytes: those of a row, plus 128 each, for it takes them as unsigned."""
    x = builder.bitcast(emit.splat(builder, x, 8), ALL)
    middle = emit.constant(ALL, -128)
    plus, minus = builder.xor(x, middle), builder.sub(middle, x)
    found = []
    for half, total in enumerate(_as(builder, sums, QUADS)):
        where = [
            builder.bitcast(
                emit.load(builder, builder.add(w, ir.Constant(I64, 16 * half + 8 * i)), I64, 8),
                ir.VectorType(ir.IntType(1), 64),
            )
            for i in range(2)
        ]
        values = builder.select(where[0], plus, middle)
        values = builder.select(where[1], minus, values)
        name = "llvm.x86.avx512.psad.bw.512"
        of_rows = emit.call_intrinsic(builder, name, QUADS, values, emit.constant(ALL, 0))
        found.append(builder.add(total, of_rows))
    return _back(builder, found)


def _add_neon(builder, sums, w, x):
    """sadalp adds pairs of bytes to 16-bit sums: of two rows and 8 columns."""
    x = builder.bitcast(emit.splat(builder, x, 2), BYTES)
    negated = builder.sub(emit.constant(BYTES, 0), x)
    plus, minus = (
        emit.load(builder, builder.add(w, ir.Constant(I64, 16 * i)), BYTES, 16) for i in range(2)
    )
    found = []
    for bit, total in enumerate(_as(builder, sums, HALVES)):
        mask = emit.constant(BYTES, 1 << bit)
        where = [_tested(builder, plane, mask) for plane in (plus, minus)]
        values = builder.or_(builder.and_(where[0], x), builder.and_(where[1], negated))
        name = "llvm.aarch64.neon.saddlp.v8i16.v16i8"
        pairs = emit.call_intrinsic(builder, name, HALVES, values)
        found.append(builder.add(total, pairs))
    return _back(builder, found)


def _tested(builder, bits, mask):
    """cmtst: all bits of a byte where it has the mask's.

    LLVM must not see what becomes of it: it would turn the test around, and take two instructions.
    """
    has = builder.icmp_signed("!=", builder.and_(bits, mask), emit.constant(BYTES, 0))
    kind = ir.FunctionType(BYTES, [BYTES])
    return builder.asm(kind, "", "=w,0", [builder.sext(has, BYTES)], False)


@block_op(lambda totals, sums: totals(totals, sums))
def widen_pairs(isa, builder, values, args):
    """totals + sums: on NEON of 32 and of 16 bits, on AVX-512 both of 64."""
    totals, sums = values
    if isa not in ARM:
        added = zip(_as(builder, totals, QUADS), _as(builder, sums, QUADS), strict=True)
        return _back(builder, [builder.add(a, b) for a, b in added])
    found = []
    for total, own in zip(_as(builder, totals, WORDS), _as(builder, sums, HALVES), strict=True):
        name = "llvm.aarch64.neon.saddlp.v4i32.v8i16"
        found.append(builder.add(total, emit.call_intrinsic(builder, name, WORDS, own)))
    return _back(builder, found)


@block_op(lambda out, totals, eights: types.void(out, totals, eights))
def store_pairs(isa, builder, values, args):
    """16 int32; `eights` of columns were added, each with 8 * 128 too many on AVX-512."""
    out, totals, eights = values
    if isa in ARM:
        pairs = _as(builder, totals, WORDS)
        name = "llvm.aarch64.neon.addp.v4i32"
        rows = [
            emit.call_intrinsic(builder, name, WORDS, *pairs[i : i + 2]) for i in range(0, 8, 2)
        ]
        rows = emit.concat(builder, rows)
    else:
        too_many = builder.mul(eights, ir.Constant(I64, 8 * 128))
        rows = [
            builder.sub(total, emit.splat(builder, too_many, 8))
            for total in _as(builder, totals, QUADS)
        ]
        rows = emit.concat(builder, [builder.trunc(part, ir.VectorType(I32, 8)) for part in rows])
    emit.store(builder, out, rows, 4)


def additions(columns):
    def kernel(args, chunk, scratch):
        w, out = arg(args, 0), arg(args, 2)
        for _ in range(arg(args, 3)):  # 16 rows
            x, totals = arg(args, 1), zero_two()
            for _ in range(columns // ADDED):
                sums = zero_two()
                for _ in range(ADDED // 8):
                    sums = add_eight(sums, w, x)
                    w += 32
                    x += 8
                totals = widen_pairs(totals, sums)
            store_pairs(out, totals, columns // 8)
            out += 64

    return kernel


# --- look-ups -------------------------------------------------------------------------------------


@block_op(lambda tables, x: types.void(tables, x))
def store_table(isa, builder, values, args):
    """Of 4 columns: low bytes of the 16 sums that there are, then their high bytes."""
    tables, x = values
    wide = ir.VectorType(I16, 16)
    total = emit.constant(wide, 0)
    for column in range(4):
        value = emit.load(builder, builder.add(x, ir.Constant(I64, column)), I8, 1)
        every = emit.splat(builder, builder.sext(value, I16), 16)
        has = ir.Constant(wide, [-(i >> column & 1) for i in range(16)])
        total = builder.add(total, builder.and_(every, has))
    high = builder.lshr(total, emit.constant(wide, 8))
    for at, part in enumerate((total, high)):
        place = builder.add(tables, ir.Constant(I64, 16 * at))
        emit.store(builder, place, builder.trunc(part, BYTES), 16)


def tables(columns):
    def kernel(args, chunk, scratch):
        x, out = arg(args, 1), arg(args, 2)
        for _ in range(columns // 4):
            store_table(out, x)
            out += 32
            x += 4

    return kernel


def _sixteen_bits(builder, low, high):
    """Of 64 rows: of every 16 the first 8, and the others."""
    found = []
    for first in (0, 8):
        lanes = [
            at + side
            for group in range(0, 64, 16)
            for at in range(group + first, group + first + 8)
            for side in (0, 64)
        ]
        mask = ir.Constant(ir.VectorType(I32, 64), lanes)
        found.append(
            builder.bitcast(builder.shuffle_vector(low, high, mask), ir.VectorType(I16, 32))
        )
    return found


@block_op(lambda sums, w, tables: sums(sums, w, tables))
def look_up_four(isa, builder, values, args):
    """Sums of 64 rows, and 4 columns more: the sum of those with 1 less that of those with -1."""
    sums, w, place = values
    codes = emit.load(builder, w, Bytes.ir, 64)
    low = emit.constant(Bytes.ir, 15)
    plus = builder.and_(codes, low)
    if isa in ARM:  # which shifts bytes
        minus = builder.lshr(codes, emit.constant(Bytes.ir, 4))
    else:
        words = ir.VectorType(I16, 32)
        moved = builder.lshr(builder.bitcast(codes, words), emit.constant(words, 4))
        minus = builder.and_(builder.bitcast(moved, Bytes.ir), low)
    books = []
    for part in range(2):
        table = emit.load(builder, builder.add(place, ir.Constant(I64, 16 * part)), BYTES, 16)
        books.append(emit.shuffle(builder, table, [*range(16)] * 4))
    found = [
        _sixteen_bits(builder, *(codebooks.look_up(isa, builder, b, index) for b in books))
        for index in (plus, minus)
    ]
    totals = _as(builder, sums, ir.VectorType(I16, 32))
    return _back(
        builder,
        [
            builder.sub(builder.add(total, one), other)
            for total, one, other in zip(totals, *found, strict=True)
        ],
    )


@block_op(lambda totals, sums: totals(totals, sums))
def widen_rows(isa, builder, values, args):
    """totals + sums: int32 of 64 rows, int16 as `_sixteen_bits` has them."""
    totals, sums = values
    halves = [
        part
        for vector in _as(builder, sums, ir.VectorType(I16, 32))
        for part in emit.split(builder, vector, 16)
    ]
    wide = ir.VectorType(I32, 16)
    pairs = zip(_as(builder, totals, wide), halves, strict=True)
    return _back(builder, [builder.add(total, builder.sext(own, wide)) for total, own in pairs])


@block_op(lambda out, totals: types.void(out, totals))
def store_rows(isa, builder, values, args):
    """64 int32, in the order of the rows."""
    out, totals = values
    wide = ir.VectorType(I32, 16)
    eights = [p for v in _as(builder, totals, wide) for p in emit.split(builder, v, 8)]
    for group in range(4):
        for half in range(2):
            at = builder.add(out, ir.Constant(I64, 64 * group + 32 * half))
            emit.store(builder, at, eights[4 * half + group], 4)


def look_ups(columns):
    def kernel(args, chunk, scratch):
        w, out = arg(args, 0), arg(args, 2)
        for _ in range(arg(args, 3)):  # 64 rows
            place, totals = arg(args, 1), zero_four()
            for _ in range(columns // LOOKED_UP):
                sums = zero_two()
                for _ in range(LOOKED_UP // 4):
                    sums = look_up_four(sums, w, place)
                    w += 64
                    place += 32
                totals = widen_rows(totals, sums)
            store_rows(out, totals)
            out += 256

    return kernel
