"""Elements from one layout to another: transposes, slices, concatenations, borders.

A chunk is a block of rows of the output.  Where a row's elements come from and go to are sums of
(row // divisor % modulus) * stride over the row's number, in bytes.
"""

from . import simd
from .compiler import inline
from .matmul import arg

(
    ROWS, ROWS_PER_CHUNK, SIZE,  # elements of a row
    X, X_STEP, OUT,  # X_STEP: bytes from one element of a row to the next
    CLEARED,  # zeros behind a row
    FROM_TERMS, TO_TERMS,  # how many; (divisor, modulus, stride) of each follow
    TERMS,
) = range(10)  # fmt: skip
MOST_TERMS = 6  # of both


def move(args, chunk, scratch):
    first = chunk * arg(args, ROWS_PER_CHUNK)
    last = min(first + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
    size, step = arg(args, SIZE), arg(args, X_STEP)
    from_terms, to_terms = arg(args, FROM_TERMS), arg(args, TO_TERMS)
    for row in range(first, last):
        x = arg(args, X) + _offset(args, 0, from_terms, row)
        out = arg(args, OUT) + _offset(args, from_terms, from_terms + to_terms, row)
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


@inline
def _offset(args, first, end, row):
    offset = 0
    for i in range(first, end):
        term = args + 8 * (TERMS + 3 * i)
        divisor, modulus = simd.load_i64(term), simd.load_i64(term + 8)
        index = row if divisor == 1 else row // divisor
        offset += (index if modulus == 0 else index % modulus) * simd.load_i64(term + 16)
    return offset
