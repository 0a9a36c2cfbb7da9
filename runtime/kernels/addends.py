"""What rides beside a matrix (edge/format/addends.py, in_order.py): columns taken, sparse entries."""

from . import simd
from .compiler import inline
from .layout import ACTIVATION_TOKENS as TOKENS
from .matmul import arg

# take_out; take_columns up to COUNT
(
    END,  # address of the number of tokens
    X, X_STRIDE, OUT, OUT_STRIDE, WIDTH,  # WIDTH: padded to 16
    COLUMNS, COUNT,  # address of int32
    TAKEN, TAKEN_STRIDE,
) = range(10)  # fmt: skip

# sparse_add
(
    FIRST, LAST,  # addresses of: first token, end token
    ROWS, ROWS_PER_CHUNK,  # padded to whole tiles
    BEGINS, ENTRIES,  # addresses of int32
    Y, Y_STRIDE, SUM, SUM_STRIDE,
) = range(10)  # fmt: skip


def take_out(args, chunk, scratch):
    """OUT = X with 0 in some columns; TAKEN = what was there."""
    end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
    columns = arg(args, COLUMNS)
    for token in range(chunk * TOKENS, end):
        x = arg(args, X) + token * arg(args, X_STRIDE)
        out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
        taken = arg(args, TAKEN) + token * arg(args, TAKEN_STRIDE)
        for at in range(0, 4 * arg(args, WIDTH), 64):
            simd.store_floats(out + at, simd.load_floats(x + at))
        for i in range(arg(args, COUNT)):
            column = out + 4 * simd.int64(simd.load_i32(columns + 4 * i))
            simd.store_f32(taken + 4 * i, simd.load_f32(column))
            simd.store_f32(column, simd.float32(0))


def take_columns(args, chunk, scratch):
    """OUT = X's columns, in the order of COLUMNS; what is behind the last stays as it is."""
    end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
    columns = arg(args, COLUMNS)
    for token in range(chunk * TOKENS, end):
        x = arg(args, X) + token * arg(args, X_STRIDE)
        out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
        for at in range(0, 4 * arg(args, COUNT), 4):
            column = x + 4 * simd.int64(simd.load_i32(columns + at))
            simd.store_f32(out + at, simd.load_f32(column))


def sparse_add(args, chunk, scratch):
    """SUM[token, row] += the row's entries times Y[token]; SUM begins at the first token."""
    first, end = simd.load_i64(arg(args, FIRST)), simd.load_i64(arg(args, LAST))
    begins, entries = arg(args, BEGINS), arg(args, ENTRIES)
    start = chunk * arg(args, ROWS_PER_CHUNK)
    for row in range(start, min(start + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))):
        begin = entries + 4 * simd.int64(simd.load_i32(begins + 4 * row))
        stop = entries + 4 * simd.int64(simd.load_i32(begins + 4 * row + 4))
        for token in range(first, end if begin < stop else first):
            y = arg(args, Y) + token * arg(args, Y_STRIDE)
            out = arg(args, SUM) + (token - first) * arg(args, SUM_STRIDE) + 4 * row
            simd.store_f32(out, simd.load_f32(out) + _row(begin, stop, y))


@inline
def _row(begin, stop, y):
    """Two sums: one alone would wait for each addition."""
    even = odd = simd.float32(0)
    entry = begin
    while entry + 4 < stop:
        even += _term(entry, y)
        odd += _term(entry + 4, y)
        entry += 8
    if entry < stop:
        even += _term(entry, y)
    return even + odd


@inline
def _term(entry, y):
    return simd.load_f16(entry + 2) * simd.load_f32(y + 4 * simd.int64(simd.load_u16(entry)))
