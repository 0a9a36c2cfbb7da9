"""Elements from one layout to another: transposes, slices, concatenations, borders.

A chunk is a block of rows of the output, which come in runs: from one row of a run to the next it
is X_ROW and OUT_ROW bytes; where run number i begins is a sum of (i // divisor % modulus) * stride
over terms of its own for the source and the output.
"""

from . import simd
from .compiler import inline
from .matmul import arg
from .terms import offset

(
    ROWS, ROWS_PER_CHUNK, SIZE,  # elements of a row
    X, X_STEP, OUT,  # X_STEP: bytes from one element of a row to the next
    CLEARED,  # zeros behind a row
    RUN, X_ROW, OUT_ROW,  # rows of a run
    FROM_TERMS, TO_TERMS,  # how many; (divisor, modulus, stride) of each follow
    TERMS,
) = range(13)  # fmt: skip


def move(args, chunk, scratch):
    row = chunk * arg(args, ROWS_PER_CHUNK)
    last = min(row + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
    run, from_terms, to_terms = arg(args, RUN), arg(args, FROM_TERMS), arg(args, TO_TERMS)
    while row < last:
        number, within = row // run, row % run
        end = min(row + run - within, last)
        x = arg(args, X) + offset(args + 8 * TERMS, from_terms, number) + within * arg(args, X_ROW)
        out = arg(args, OUT) + offset(args + 8 * (TERMS + 3 * from_terms), to_terms, number)
        out += within * arg(args, OUT_ROW)
        for _ in range(row, end):
            _copy(args, x, out)
            x += arg(args, X_ROW)
            out += arg(args, OUT_ROW)
        row = end


@inline
def _copy(args, x, out):
    size, step = arg(args, SIZE), arg(args, X_STEP)
    i = 0
    if step == 4:
        while i + 16 <= size:
            simd.store_floats(out + 4 * i, simd.load_floats(x + 4 * i))
            i += 16
    while i < size:
        simd.store_f32(out + 4 * i, simd.load_f32(x + step * i))
        i += 1
    for i in range(size, size + arg(args, CLEARED)):
        simd.store_f32(out + 4 * i, simd.float32(0))
