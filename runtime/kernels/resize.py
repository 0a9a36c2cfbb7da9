"""Images of another size by linear interpolation, channels last: each pixel from four.

    out[y, x] = top (left in[t, l] + right in[t, r]) + bottom (left in[b, l] + right in[b, r])

A chunk is a block of output rows.
"""

from . import simd
from .matmul import arg

(
    ROWS, ROWS_PER_CHUNK, PIXELS, BLOCKS,  # output rows of all images, pixels of each, 16 channels
    X, IMAGE_BYTES, OUT, OUT_BYTES, OUT_HEIGHT,  # OUT_BYTES: of a pixel
    DOWN, ACROSS,  # addresses of tables: a line for each output row, for each pixel of it
) = range(11)  # fmt: skip
# A line: bytes to the first and to the second row (or pixel), their weights as float32 bits; int64.
LINE = 32


def resize(args, chunk, scratch):
    first = chunk * arg(args, ROWS_PER_CHUNK)
    for row in range(first, min(first + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))):
        image, y = row // arg(args, OUT_HEIGHT), row % arg(args, OUT_HEIGHT)
        down = arg(args, DOWN) + LINE * y
        x = arg(args, X) + image * arg(args, IMAGE_BYTES)
        top, bottom = x + simd.load_i64(down), x + simd.load_i64(down + 8)
        upper, lower = simd.load_f32(down + 16), simd.load_f32(down + 24)
        out = arg(args, OUT) + row * arg(args, PIXELS) * arg(args, OUT_BYTES)
        for column in range(arg(args, PIXELS)):
            across = arg(args, ACROSS) + LINE * column
            left, right = simd.load_i64(across), simd.load_i64(across + 8)
            a, b = simd.load_f32(across + 16), simd.load_f32(across + 24)
            upper_a, upper_b = simd.splat(upper * a), simd.splat(upper * b)
            lower_a, lower_b = simd.splat(lower * a), simd.splat(lower * b)
            for at in range(0, 64 * arg(args, BLOCKS), 64):
                value = upper_a * simd.load_floats(top + left + at)
                value = simd.fma(upper_b, simd.load_floats(top + right + at), value)
                value = simd.fma(lower_a, simd.load_floats(bottom + left + at), value)
                value = simd.fma(lower_b, simd.load_floats(bottom + right + at), value)
                simd.store_floats(out + at, value)
            out += arg(args, OUT_BYTES)
