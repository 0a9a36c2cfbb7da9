"""Codes as floats, multiplied by activations that are floats, too.

The codes of 4 neighbouring columns of a row lie in 32 bits, so those of one column and all rows are
a shift and a mask away, a row a lane, and become

    w = step * code + shift

in registers, once for all tokens of the block.  16 columns are done for as many rows as are one
register before the next rows: the sums of 8 tokens are then 8 registers on every target.
"""

from llvmlite import ir
from numba import types

from edge.format.formats import CODES

from . import codebooks, emit, products
from .emit import F32, I8, I32, I64, LANES, Floats, block_op
from .runs import Layout

COLUMNS = 16  # of a run
_ROWS = {"avx512vnni": 16, "avxvnni": 8, "avx2": 8}  # of a register; 4 elsewhere
_ARM = ("neon", "dotprod", "i8mm")


class _Sums:
    """acc [token][chain], being added to, a few rows at a time; the next column takes the next
    chain."""

    def __init__(self, isa, builder, acc, numbers, x, stride, tokens):
        self.isa, self.builder, self.chains = isa, builder, len(acc) // tokens
        self.rows = _ROWS.get(isa, 4)
        self.acc = [emit.split(builder, vector, self.rows) for vector in acc]
        self.step, self.shift = (emit.split(builder, vector, self.rows) for vector in numbers)
        self.x = [emit.offset(builder, x, stride, t) if t else x for t in range(tokens)]

    def pieces(self):
        """Of the rows; what is loaded for one is not kept for the next."""
        kind = ir.FunctionType(ir.VoidType(), [])
        for piece in range(LANES // self.rows):
            if piece:
                self.builder.asm(kind, "", "~{memory}", [], side_effect=True)
            yield piece

    def add(self, piece, words, column, signed=False):
        """w . x of 4 columns, from `column` of x; `words` are their codes, a byte each."""
        x = [self._activations(at, column) for at in self.x]
        for i in range(4):
            code = self.builder.sitofp(self._byte(words, i, signed), self.step[piece].type)
            w = self._fma(code, self.step[piece], self.shift[piece])
            for t, values in enumerate(x):
                own = self.acc[t * self.chains + i % self.chains]
                own[piece] = self._fma(w, values[i], own[piece])

    def _byte(self, words, i, signed):
        """The i-th of 4, in 32 bits."""
        left, right, top = (emit.constant(words.type, n) for n in (24 - 8 * i, 8 * i, 24))
        if signed:
            return self.builder.ashr(self.builder.shl(words, left), top)
        return self.builder.and_(self.builder.lshr(words, right), emit.constant(words.type, 255))

    def _activations(self, x, column):
        """x[column + i] in all lanes, for i = 0..3."""
        if self.isa in _ARM:  # folds into `fmla v.s[i]`
            at = self.builder.add(x, ir.Constant(I64, 4 * column))
            four = emit.load(self.builder, at, ir.VectorType(F32, 4), 4)
            return [emit.shuffle(self.builder, four, [i] * 4) for i in range(4)]
        at = (self.builder.add(x, ir.Constant(I64, 4 * (column + i))) for i in range(4))
        values = (emit.load(self.builder, address, F32, 4) for address in at)
        return [emit.splat(self.builder, value, self.rows) for value in values]

    def _fma(self, a, b, c):
        return emit.fused(self.isa, self.builder, a, b, c)

    def packed(self):
        return emit.pack(self.builder, [emit.concat(self.builder, own) for own in self.acc])


def add_floats_run(kind):
    """Intrinsic: acc + 16 columns of W x, for codes of `kind`, which lie in planes.

    acc      Floats x (tokens * chains): a token's sums are the total of its chains
    w        address of the unit of codes
    half     which 16 columns of it
    numbers  Floats x 2: step and shift
    x        address of float32 activations, bytes to the next token's
    tokens   how many
    books    what load_codebooks gives, or any Bytes
    """
    layout, has_books = Layout(CODES[kind].planes, products.SMALL), CODES[kind].has_codebook

    def typing(acc, w, half, numbers, x, tokens, books):
        return acc(acc, w, half, numbers, x, tokens, books)

    @block_op(typing)
    def add_run(isa, builder, values, args):
        acc, numbers, x = (emit.unpack(builder, values[i]) for i in (0, 3, 4))
        sums = _Sums(isa, builder, acc, numbers, *x, args[5].literal_value)
        tables = emit.split(builder, values[6], 4 * sums.rows)
        first = COLUMNS * args[2].literal_value
        for piece in sums.pieces():
            for column in range(0, COLUMNS, 4):
                words = _fields(builder, layout, values[1], first + column, piece, sums.rows)
                if has_books:
                    words = _levels(isa, builder, tables[piece], words)
                sums.add(piece, words, column, has_books)
        return sums.packed()

    return add_run


def _fields(builder, layout, w, column, piece, rows):
    """The codes of 4 columns, a byte each: int32 [rows]."""
    kind, words = ir.VectorType(I32, rows), None
    for vector, shift, bits, place in layout.fields(column):
        at = builder.add(w, ir.Constant(I64, 64 * vector + 4 * rows * piece))
        part = emit.load(builder, at, kind, 16)
        if shift != place:
            move = builder.lshr if shift > place else builder.shl
            part = move(part, emit.constant(kind, abs(shift - place)))
        if bits < 8:  # what came over from the bytes beside goes, too
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


@block_op(lambda acc, codes, numbers, x, tokens: acc(acc, codes, numbers, x, tokens))
def add_floats_bytes(isa, builder, values, args):
    """acc + 4 columns of W x; `codes` are Bytes, the rest is as in add_floats_run."""
    acc, numbers, x = (emit.unpack(builder, values[i]) for i in (0, 2, 3))
    sums = _Sums(isa, builder, acc, numbers, *x, args[4].literal_value)
    words = builder.bitcast(values[1], ir.VectorType(I32, LANES))
    parts = emit.split(builder, words, sums.rows)
    for piece in sums.pieces():
        sums.add(piece, parts[piece], 0)
    return sums.packed()


@block_op(lambda acc, tokens: types.UniTuple(Floats, tokens.literal_value)(acc, tokens))
def sum_chains(isa, builder, values, args):
    """A token's chains added up; their number is a power of two."""
    acc = emit.unpack(builder, values[0])
    while len(acc) > args[1].literal_value:
        acc = [builder.fadd(*pair) for pair in zip(acc[::2], acc[1::2], strict=True)]
    return emit.pack(builder, acc)
