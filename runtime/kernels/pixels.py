"""Where a graph's kernels put int8 codes of a pixel (or token): a sink, described by a table.

The codes' table of pixels has borders of zeros, for convolutions that reach over the edge.  Whoever
encodes a pixel beside a border writes the border too, so the memory may have been anything before.
"""

from . import simd
from .activations import encode_part
from .compiler import inline

(
    CODES, PIXEL_BYTES, SCALES, STARTS,  # int8; float32 and int32 a pixel
    WIDTH, FIXED,  # elements of a pixel, a multiple of 16; float32 bits: every scale, or 0
    HEIGHT_IN, WIDTH_IN,  # pixels of an image
    TOP, BOTTOM, LEFT, RIGHT,  # borders
    FIRST,  # number of the op's first pixel
) = range(13)  # fmt: skip


@inline
def of(sink, position):
    return simd.load_i64(sink + 8 * position)


@inline
def encode_pixels(sink, first, count, x, stride):
    """Codes of `count` pixels of the op from number `first` on, whose floats are at `x` and every
    `stride` bytes further."""
    first += of(sink, FIRST)
    width, height = of(sink, WIDTH_IN), of(sink, HEIGHT_IN)
    left, top = of(sink, LEFT), of(sink, TOP)
    right, bottom = of(sink, RIGHT), of(sink, BOTTOM)
    if left + top + right + bottom == 0:
        for pixel in range(first, first + count):
            _encode(sink, pixel, x)
            x += stride
        return
    full = left + width + right
    row, column = first // width, first % width
    image, y = row // height, row % height
    begin = (image * (top + height + bottom) + top + y) * full
    for _ in range(count):
        if column == 0:
            _clear(sink, begin, left)
            if y == 0:
                _clear(sink, begin - top * full, top * full)
        _encode(sink, begin + left + column, x)
        x += stride
        column += 1
        if column == width:
            _clear(sink, begin + left + width, right)
            column, begin, y = 0, begin + full, y + 1
            if y == height:
                _clear(sink, begin, bottom * full)
                y, begin = 0, begin + (bottom + top) * full


@inline
def _encode(sink, index, x):
    width, fixed = of(sink, WIDTH), simd.load_f32(sink + 8 * FIXED)
    codes = of(sink, CODES) + index * of(sink, PIXEL_BYTES)
    scale, inverse = fixed, simd.float32(0)
    if fixed > simd.float32(0):
        inverse = simd.float32(1) / fixed
    else:
        largest = simd.splat(simd.float32(0))
        for at in range(0, 4 * width, 64):
            largest = simd.maximum(largest, simd.absolute(simd.load_floats(x + at)))
        size = simd.max_lanes(largest)
        scale = size * simd.float32(1 / 127)
        if size > simd.float32(0):
            inverse = simd.float32(127) / size
    total = encode_part(x, codes, width, inverse)
    simd.store_f32(of(sink, SCALES) + 4 * index, scale)
    start = simd.int32(-128 * total)
    simd.store_i32(of(sink, STARTS) + 4 * index, start)


@inline
def _clear(sink, index, count):
    """Zeros for `count` pixels."""
    zero = simd.round_to_int(simd.splat(simd.float32(0)))
    size = of(sink, PIXEL_BYTES)
    codes = of(sink, CODES) + index * size
    for at in range(0, count * size, 16):
        simd.store_int8s(codes + at, zero)
    for i in range(index, index + count):
        simd.store_f32(of(sink, SCALES) + 4 * i, simd.float32(0))
        simd.store_i32(of(sink, STARTS) + 4 * i, simd.int32(0))
