"""Codes as floats, multiplied by activations that are floats, too.

The codes of 4 neighbouring columns of a row lie in 32 bits, so those of one column and all rows are
a shift and a mask away, a row a lane, and become

    w = step * code + shift

in registers, once for all tokens of the block.  A run is done for as many rows as are one register
before the next are begun: the sums of 8 tokens are then 8 registers on every target.
"""

from llvmlite import ir
from numba import types

from edge.format.formats import CODES

from . import codebooks, emit, products
from .emit import F32, I8, I32, I64, LANES, Floats, block_op
from .runs import Layout

COLUMNS = 32  # of a run: whole units of all codes that lie in planes
_ROWS = {"avx512vnni": 16, "avxvnni": 8, "avx2": 8}  # of a register; 4 elsewhere
_ARM = ("neon", "dotprod", "i8mm")


class _Sums:
    """acc [token][chain], being added to, a few rows at a time."""

    def __init__(self, isa, builder, acc, steps, shifts, x, stride, tokens):
        self.isa, self.builder = isa, builder
        self.rows = _ROWS.get(isa, 4)
        self.chains = len(acc) // tokens
        self.acc, self.steps, self.shifts = (
            [emit.split(builder, vector, self.rows) for vector in vectors]
            for vectors in (acc, steps, shifts)
        )
        self.x = [emit.offset(builder, x, stride, t) if t else x for t in range(tokens)]

    def pieces(self):
        """Of the rows; what one loads is not kept for the next."""
        kind = ir.FunctionType(ir.VoidType(), [])
        for piece in range(LANES // self.rows):
            if piece:
                self.builder.asm(kind, "", "~{memory}", [], side_effect=True)
            yield piece

    def add(self, piece, words, column, step, signed):
        """w . x of 4 columns: `words` are their codes, a byte each, and `step` is whose they are."""
        builder, x = self.builder, [self._activations(at, column) for at in self.x]
        for i in range(4):
            code = self._byte(words, i, signed)
            code = builder.sitofp(code, ir.VectorType(F32, self.rows))
            w = self._fma(code, self.steps[step][piece], self.shifts[step][piece])
            for t, values in enumerate(x):
                own = self.acc[t * self.chains + i % self.chains]
                own[piece] = self._fma(w, values[i], own[piece])

    def _byte(self, words, i, signed):
        """Of 4, the one that is i-th: int32."""
        builder = self.builder
        left, right = emit.constant(words.type, 24 - 8 * i), emit.constant(words.type, 24)
        if signed:
            return builder.ashr(builder.shl(words, left), right)
        moved = builder.lshr(words, emit.constant(words.type, 8 * i))
        return builder.and_(moved, emit.constant(words.type, 255))

    def _activations(self, x, column):
        """x[column + i] in all lanes, for i = 0..3."""
        builder = self.builder
        if self.isa in _ARM:  # folds into `fmla v.s[i]`
            at = builder.add(x, ir.Constant(I64, 4 * column))
            four = emit.load(builder, at, ir.VectorType(F32, 4), 4)
            return [emit.shuffle(builder, four, [i] * 4) for i in range(4)]
        addresses = (builder.add(x, ir.Constant(I64, 4 * (column + i))) for i in range(4))
        values = (emit.load(builder, at, F32, 4) for at in addresses)
        return [emit.splat(builder, value, self.rows) for value in values]

    def _fma(self, a, b, c):
        return emit.fused(self.isa, self.builder, a, b, c)

    def packed(self):
        return emit.pack(self.builder, [emit.concat(self.builder, own) for own in self.acc])


def add_floats_run(kind):
    """Intrinsic: acc + 32 columns of W x, for codes of `kind` that lie in planes.

    acc     Floats x (tokens * chains): a token's sums are the total of its chains
    w       address of the run's codes
    steps   Floats x 2: of the first 16 columns and of the others; and shifts
    x       address of float32 activations, bytes to the next token's
    tokens  how many
    books   the tables of load_codebooks, or anything
    """
    layout, has_books = Layout(CODES[kind].planes, products.SMALL), CODES[kind].has_codebook

    def typing(acc, w, steps, shifts, x, tokens, books):
        return acc(acc, w, steps, shifts, x, tokens, books)

    @block_op(typing)
    def add_run(isa, builder, values, args):
        acc, steps, shifts, x = (emit.unpack(builder, values[i]) for i in (0, 2, 3, 4))
        sums = _Sums(isa, builder, acc, steps, shifts, *x, args[5].literal_value)
        tables = emit.split(builder, values[6], 4 * sums.rows) if has_books else None
        for piece in sums.pieces():
            for column in range(0, COLUMNS, 4):
                words = _fields(builder, layout, values[1], column, piece, sums.rows)
                if tables:
                    words = _levels(isa, builder, tables[piece], words)
                sums.add(piece, words, column, column // 16, has_books)
        return sums.packed()

    return add_run


def _fields(builder, layout, w, column, piece, rows):
    """The codes of 4 columns, a byte each: int32 [rows]."""
    kind, words = ir.VectorType(I32, rows), None
    for vector, shift, bits, place in layout.fields(column):
        at = builder.add(w, ir.Constant(I64, 64 * vector + 4 * rows * piece))
        part = emit.load(builder, at, kind, 16)
        moved = shift - place
        if moved:
            move = builder.lshr if moved > 0 else builder.shl
            part = move(part, emit.constant(kind, abs(moved)))
        if bits < 8:  # what has come from the bytes beside goes, too
            part = builder.and_(part, emit.constant(kind, ((2**bits - 1) << place) * 0x01010101))
        words = part if words is None else builder.or_(words, part)
    return words


def _levels(isa, builder, tables, words):
    """Signed bytes of the codebooks in place of the codes."""
    codes = builder.bitcast(words, ir.VectorType(I8, 4 * words.type.count))
    levels = codebooks.look_up(isa, builder, tables, codes)
    if isa in products.UNSIGNED_INT8:  # so are the tables
        levels = builder.xor(levels, emit.constant(levels.type, -128))
    return builder.bitcast(levels, words.type)


@block_op(lambda acc, codes, step, shift, x, tokens: acc(acc, codes, step, shift, x, tokens))
def add_floats_bytes(isa, builder, values, args):
    """acc + 4 columns of W x; `codes` are Bytes, the rest is as in add_floats_run."""
    acc, x = emit.unpack(builder, values[0]), emit.unpack(builder, values[4])
    sums = _Sums(isa, builder, acc, values[2:3], values[3:4], *x, args[5].literal_value)
    words = builder.bitcast(values[1], ir.VectorType(I32, LANES))
    parts = emit.split(builder, words, sums.rows)
    for piece in sums.pieces():
        sums.add(piece, parts[piece], 0, 0, False)
    return sums.packed()


@block_op(lambda acc, tokens: types.UniTuple(Floats, tokens.literal_value)(acc, tokens))
def sum_chains(isa, builder, values, args):
    """A token's chains added up."""
    acc, tokens = emit.unpack(builder, values[0]), args[1].literal_value
    chains = len(acc) // tokens
    while chains > 1:
        acc = [builder.fadd(acc[i], acc[i + 1]) for i in range(0, len(acc), 2)]
        chains //= 2
    return emit.pack(builder, acc)
