"""Products of a tile with a run of columns, for codes whose bits lie in planes.

One operation does what load_bytes, the fields of the codes, dot16 and add_scaled do together, so
that it may choose their order.  Where 16 rows are one or two registers the order does not matter.
On ARM they are four, and the sums of 8 tokens would be every register there is: a run is computed
for the lower half of the rows, then for the upper half, a token (i8mm: two) after the other.
benchmarks/ARM.md counts what that saves.
"""

from llvmlite import ir

from . import codebooks, emit, pairs, products
from .emit import F32, I8, I32, I64, LANES, block_op

_ARM = ("neon", "dotprod", "i8mm")


class Layout:
    """Codes whose bits lie in `planes`, the lowest first, as edge/format/tiles.py has them."""

    def __init__(self, planes, products_of_isa):
        self.planes, self.products = planes, products_of_isa
        self.columns = 32 // min(planes)  # of a unit
        # Values of -128..127, plus 128 where the target's product wants unsigned ones.
        self.signed = products_of_isa in (products.INT8, products.LEVELS)

    def has_starts(self, isa):
        return not self.signed or isa in products.UNSIGNED_INT8

    def fields(self, column):
        """Where the bits of 4 columns are: (vector, shift in its bytes, how many, their place)."""
        unit, within = divmod(column, self.columns)
        vector, place = unit * sum(self.planes) * self.columns // 32, 0
        for bits in self.planes:
            skipped, shift = divmod(within // 4 * bits, 8)
            yield vector + skipped, shift, bits, place
            vector, place = vector + bits * self.columns // 32, place + bits


_CRUMBS, _INT3 = Layout((2,), products.SMALL), Layout((2, 1), products.SMALL)
_NIBBLES, _INT5 = Layout((4,), products.SMALL), Layout((4, 1), products.SMALL)
_INT6, _BYTES = Layout((4, 2), products.INT6), Layout((8,), products.INT8)
_BOOKED = Layout((4,), products.LEVELS)


class _Block:
    """A tile times a block of tokens, being emitted; on ARM in pieces of 4 rows.

    Sums are lists of lists of vectors: [token][piece], or as `enter` turns them.
    """

    def __init__(self, isa, builder, layout, w, x, x_stride, tokens, paired=True, books=None):
        self.isa, self.builder, self.layout, self.w = isa, builder, layout, w
        self.x = [emit.offset(builder, x, x_stride, t) if t else x for t in range(tokens)]
        self.lanes = 4 if isa in _ARM else LANES
        pieces = list(range(LANES // self.lanes))
        self.parts = [pieces[:2], pieces[2:]] if isa in _ARM and tokens > 1 else [pieces]
        self.books = books and self.pieces(books)
        self.paired = paired and isa == "i8mm" and tokens > 1
        together = (2 if self.paired else 1) if isa in _ARM else tokens
        self.groups = [range(t, t + together) for t in range(0, tokens, together)]

    def pieces(self, vector):
        """Of all rows' floats, or of their codebooks."""
        width = vector.type.count // LANES * self.lanes
        return emit.split(self.builder, vector, width)

    def codes(self, part, chunk):
        """[piece] of four vectors, 4 columns each, of the 16 columns from 16 * chunk."""
        columns = range(16 * chunk, 16 * chunk + 16, 4)
        return [[self._code(piece, column) for column in columns] for piece in part]

    def _code(self, piece, column):
        kind = ir.VectorType(I8, 4 * self.lanes)
        code = None
        for vector, *place in self.layout.fields(column):
            at = self.at(self.w, 64 * vector + kind.count * piece)
            part = self._field(emit.load(self.builder, at, kind, 16), *place)
            code = part if code is None else self.builder.or_(code, part)
        if self.books:
            return codebooks.look_up(self.isa, self.builder, self.books[piece], code)
        return code

    def _field(self, codes, shift, bits, place):
        if self.isa not in _ARM:
            return products.field(self.builder, codes, shift, bits, place)
        moved = shift - place
        if moved:
            move = self.builder.lshr if moved > 0 else self.builder.shl
            codes = move(codes, emit.constant(codes.type, abs(moved)))
        if shift + bits == 8 and not place:  # ARM shifts bytes: the highest field needs no mask
            return codes
        return self.builder.and_(codes, emit.constant(codes.type, (2**bits - 1) << place))

    def at(self, address, offset):
        return self.builder.add(address, ir.Constant(I64, offset)) if offset else address

    def per_token(self, address, stride, kind, tokens):
        """One scalar a token, in all lanes of a piece."""
        address = emit.offset(self.builder, address, stride, tokens[0])
        return emit.splat_loads(self.builder, address, stride, kind, len(tokens), self.lanes)

    def enter(self, sums):
        """A group's sums as `dot` wants them."""
        return pairs.enter(self.builder, sums) if self.paired else sums

    def leave(self, sums):
        return pairs.leave(self.builder, sums) if self.paired else sums

    def dot(self, sums, codes, tokens, chunk):
        """The group's sums + codes . x over the 16 columns from 16 * chunk."""
        x = [self.at(self.x[t], 16 * chunk) for t in tokens]
        if self.paired:
            return pairs.dot(self.builder, sums, codes, x)
        dot = self.layout.products[self.isa]
        if self.isa in _ARM:
            return [dot.quarters(self.builder, sums[0], codes, x[0])]
        return [dot(self.builder, own, codes[0], at) for own, at in zip(sums, x, strict=True)]

    def settle(self, vectors):
        """Nothing that is loaded after this is loaded before these are done.

        Left alone, LLVM loads all that a run needs first, and spills it.
        """
        if len(self.parts) == 1:
            return
        for vector in (v for own in vectors for v in own):
            kind = ir.FunctionType(ir.VoidType(), [vector.type])
            self.builder.asm(kind, "", "w,~{memory}", [vector], side_effect=True)


class _Scaling:
    """The float half of a run: acc[t] + sums[t] * (scale * x_scale[t]) + shift * moment[t]."""

    def __init__(self, block, scale, shift, x_scales, starts, stride):
        self.block, self.isa, self.builder = block, block.isa, block.builder
        self.scale, self.shift = block.pieces(scale), shift and block.pieces(shift)
        self.x_scales, self.starts, self.stride = x_scales, starts, stride

    def _per_token(self, address, kind, tokens):
        return self.block.per_token(address, self.stride, kind, tokens)

    def first_sums(self, part, tokens):
        """The zero point's part of the sums, 0 where there is none or `shift` has it."""
        if self.shift or not self.block.layout.has_starts(self.isa):
            first = [emit.constant(ir.VectorType(I32, self.block.lanes), 0)] * len(tokens)
        else:
            first = self._per_token(self.starts, I32, tokens)
        return [[start] * len(part) for start in first]

    def add(self, acc, sums, part, tokens):
        """Into acc[token][piece]."""
        x_scales = self._per_token(self.x_scales, F32, tokens)
        moments = self._per_token(self.starts, F32, tokens) if self.shift else x_scales
        for t, own, x_scale, moment in zip(tokens, sums, x_scales, moments, strict=True):
            for piece, total in zip(part, own, strict=True):
                if self.shift:
                    acc[t][piece] = self._fma(self.shift[piece], moment, acc[t][piece])
                scale = self.builder.fmul(self.scale[piece], x_scale)
                value = self.builder.sitofp(total, scale.type)
                acc[t][piece] = self._fma(value, scale, acc[t][piece])

    def _fma(self, a, b, c):
        return emit.fused(self.isa, self.builder, a, b, c)


def _scaled_run(layout, shifted=False, booked=False):
    """Intrinsic: see add_int4_run."""

    def typing(acc, w, scale, more, x):
        return acc(acc, w, scale, more, x)

    @block_op(typing)
    def add_run(isa, builder, values, args):
        acc = emit.unpack(builder, values[0])
        x, x_stride, *scales = emit.unpack(builder, values[4])
        # A shift for each token leaves i8mm's pairs too few registers: they would cost more.
        books = values[3] if booked else None
        block = _Block(isa, builder, layout, values[1], x, x_stride, len(acc), not shifted, books)
        scaling = _Scaling(block, values[2], values[3] if shifted else None, *scales)
        results = [block.pieces(vector) for vector in acc]
        for part in block.parts:
            codes = [block.codes(part, chunk) for chunk in range(2)]
            for tokens in block.groups:
                sums = block.enter(scaling.first_sums(part, tokens))
                for chunk in range(2):
                    sums = block.dot(sums, codes[chunk], tokens, chunk)
                scaling.add(results, block.leave(sums), part, tokens)
                block.settle([[results[t][piece] for piece in part] for t in tokens])
        return emit.pack(builder, [emit.concat(builder, own) for own in results])

    return add_run


add_int4_run = _scaled_run(_NIBBLES)
add_int4_run.__doc__ = """acc + 32 columns of codes . x, times scale * x_scale.

acc    Floats, one a token
w      address of the run's codes
scale  Floats, the rows' weight scales; the next argument is not used here
x      addresses and strides: int8 codes, bytes to the next token's, float32 scales,
       int32 starts, bytes to the next token's scale and start
"""
add_int4_shifted_run = _scaled_run(_NIBBLES, shifted=True)
add_int4_shifted_run.__doc__ = (
    """The same, plus shift * moment: float32 moments in place of starts."""
)
add_int5_run = _scaled_run(_INT5)
add_int5_run.__doc__ = """add_int4_run for codes of two planes, 4 bits and 1."""
add_int5_shifted_run = _scaled_run(_INT5, shifted=True)
add_int5_shifted_run.__doc__ = """add_int4_shifted_run for the same."""
add_int8_run = _scaled_run(_BYTES)
add_int8_run.__doc__ = """add_int4_run for codes 0..255 that mean code - 128."""
add_code4_run = _scaled_run(_BOOKED, booked=True)
add_code4_run.__doc__ = (
    """add_int4_run for codes of a codebook; after the scales, the tables of load_codebooks."""
)


class _HalvesScaling:
    """The same of two runs: acc[t] + x_scale[t] * sum(scale * sums[t]) + sum(shift * moment[t])."""

    def __init__(self, block, scales, shifts, x_scales, starts, stride):
        self.block, self.isa, self.builder = block, block.isa, block.builder
        self.scales = [block.pieces(scale) for scale in scales]
        self.shifts = [block.pieces(shift) for shift in shifts]
        self.x_scales, self.starts, self.stride = x_scales, [starts, block.at(starts, 4)], stride

    def first_sums(self, part, tokens, half):
        first = [emit.constant(ir.VectorType(I32, self.block.lanes), 0)] * len(tokens)
        if not self.shifts:
            first = self.block.per_token(self.starts[half], self.stride, I32, tokens)
        return [[start] * len(part) for start in first]

    def add(self, acc, sums, part, tokens):
        """Into acc[token][piece], of sums[half][token][piece]."""
        x_scales = self.block.per_token(self.x_scales, self.stride, F32, tokens)
        for i, (t, x_scale) in enumerate(zip(tokens, x_scales, strict=True)):
            for k, piece in enumerate(part):
                first, second = (self.builder.sitofp(own[i][k], x_scale.type) for own in sums)
                total = self.builder.fmul(first, self.scales[0][piece])
                total = self._fma(second, self.scales[1][piece], total)
                acc[t][piece] = self._fma(total, x_scale, acc[t][piece])
        for start, shift in zip(self.starts, self.shifts, strict=False):
            moments = self.block.per_token(start, self.stride, F32, tokens)
            for t, moment in zip(tokens, moments, strict=True):
                for piece in part:
                    acc[t][piece] = self._fma(shift[piece], moment, acc[t][piece])

    def _fma(self, a, b, c):
        return emit.fused(self.isa, self.builder, a, b, c)


def _halves(layout, shifted=False):
    """Intrinsic: see add_int6_halves."""

    def typing(acc, w, scales, shifts, x):
        return acc(acc, w, scales, shifts, x)

    @block_op(typing)
    def add_halves(isa, builder, values, args):
        acc = emit.unpack(builder, values[0])
        scales, shifts = (emit.unpack(builder, pair) for pair in values[2:4])
        x, x_stride, *per_token = emit.unpack(builder, values[4])
        block = _Block(isa, builder, layout, values[1], x, x_stride, len(acc), paired=False)
        scaling = _HalvesScaling(block, scales, shifts if shifted else [], *per_token)
        results = [block.pieces(vector) for vector in acc]
        for part in block.parts:
            codes = [block.codes(part, half) for half in range(2)]
            for tokens in block.groups:
                sums = [
                    block.dot(scaling.first_sums(part, tokens, half), codes[half], tokens, half)
                    for half in range(2)
                ]
                scaling.add(results, sums, part, tokens)
                block.settle([[results[t][piece] for piece in part] for t in tokens])
        return emit.pack(builder, [emit.concat(builder, own) for own in results])

    return add_halves


add_int6_halves = _halves(_INT6)
add_int6_halves.__doc__ = """acc + 32 columns of codes . x, times scale * x_scale.

As add_int4_run, but of two scales 16 columns have the first and 16 the second, and a token has two
starts.
"""
add_int3_halves = _halves(_INT3)
add_int3_halves.__doc__ = """The same for codes of two planes, 2 bits and 1."""
add_int2_shifted_halves = _halves(_CRUMBS, shifted=True)
add_int2_shifted_halves.__doc__ = (
    """The same for 2-bit codes, plus shift * moment: two float32 moments in place of starts."""
)


def _row_run(layout, chunks=4):
    """Intrinsic: see dot64_int8; `chunks` of 16 columns."""

    def typing(sums, w, x, x_stride, tokens):
        return sums(sums, w, x, x_stride, tokens)

    @block_op(typing)
    def dot64(isa, builder, values, args):
        sums, tokens = emit.unpack(builder, values[0]), args[4].literal_value
        chains = len(sums) // tokens
        block = _Block(isa, builder, layout, values[1], values[2], values[3], tokens)
        if isa not in _ARM:
            own = [sums[t : t + chains] for t in range(0, len(sums), chains)]
            for chunk in range(chunks):
                own = block.dot(own, block.codes([0], chunk), range(tokens), chunk)
            return emit.pack(builder, [total for totals in own for total in totals])
        results = [block.pieces(vector) for vector in sums[::chains]]  # one chain is enough
        for part in block.parts:
            own = [
                block.enter([[results[t][piece] for piece in part] for t in tokens])
                for tokens in block.groups
            ]
            for chunk in range(chunks):
                codes = block.codes(part, chunk)
                for i, tokens in enumerate(block.groups):
                    own[i] = block.dot(own[i], codes, tokens, chunk)
                    block.settle(own[i])
            for tokens, totals in zip(block.groups, own, strict=True):
                for t, total in zip(tokens, block.leave(totals), strict=True):
                    results[t][part[0] : part[-1] + 1] = total
        sums[::chains] = [emit.concat(builder, result) for result in results]
        return emit.pack(builder, sums)

    return dot64


dot64_int8 = _row_run(_BYTES)
dot64_int8.__doc__ = """sums + codes . x over 64 columns, for codes 0..255 that mean code - 128.

sums  Ints x (tokens * chains): a token's sums are the total of its chains
w, x  addresses of the codes, and of the first token's int8; `x_stride` bytes to the next
"""
dot16_int8 = _row_run(_BYTES, 1)
dot16_int8.__doc__ = """The same over 16 columns."""
dot64_crumbs = _row_run(_CRUMBS)
dot64_crumbs.__doc__ = """The same for 2-bit codes 0..3."""
