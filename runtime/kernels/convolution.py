"""Convolutions, channels last, by the tiles of matrix products; a matrix product is one of 1x1.

A matrix row holds an output channel's weights, tap by tap.  An input is a table of pixels with
its border: for int8 codes with a scale a pixel, so that a tap is one integer sum of its own.
There is no im2col: consecutive pixels of an output row read inputs a fixed distance apart.
TAP_SKIP are the bytes of float weights that pad a tap.

    out[y, x] = clamp(sum over taps W[tap] in[y sh + ky dh, x sw + kx dw] + bias + residual)

A chunk is a block of output rows times a run of 16-channel tiles.  A matrix product cuts its
tokens into rows of PIXELS; only the last row of all may be shorter.
"""

from . import simd
from .compiler import Kernel, inline
from .matmul import MANY, arg
from .pixels import encode_pixel

(
    ROWS, PIXELS, TOTAL,  # output rows (of all images), pixels of each, pixels in all
    ROWS_PER_CHUNK, TILES, TILES_PER_CHUNK,
    WEIGHT, TILE_BYTES, TAP_STEPS, TAP_SKIP,  # steps: columns of floats, 16 columns of codes
    X, PIXEL_BYTES,  # codes or floats
    X_SCALES, X_STARTS,  # float32 and int32 a pixel; of codes only
    OUT, OUT_STRIDE, BIAS, RESIDUAL, RESIDUAL_STRIDE,  # BIAS, RESIDUAL: addresses or 0
    LOW, HIGH,  # float32 bits
    OUT_HEIGHT, IN_HEIGHT, IN_WIDTH,  # the inputs' with their borders
    KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X,
    SINK,  # address of pixels.py's table, or 0; a chunk has all tiles where there is one
) = range(31)  # fmt: skip


def kernel(kind: str) -> Kernel:
    """Convolution by a matrix of "int8", "float32" or "float16"."""
    product = _by_codes if kind == "int8" else _by_floats(kind)
    one, four, many = (_pixels(product(tokens), tokens) for tokens in (1, 4, MANY))

    def convolution(args, chunk, scratch):
        runs = (arg(args, TILES) + arg(args, TILES_PER_CHUNK) - 1) // arg(args, TILES_PER_CHUNK)
        first_row = chunk // runs * arg(args, ROWS_PER_CHUNK)
        last_row = min(first_row + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
        first = chunk % runs * arg(args, TILES_PER_CHUNK)
        last = min(first + arg(args, TILES_PER_CHUNK), arg(args, TILES))
        for tile in range(first, last):
            w = arg(args, WEIGHT) + tile * arg(args, TILE_BYTES)
            for row in range(first_row, last_row):
                begin = row * arg(args, PIXELS)
                count = min(arg(args, PIXELS), arg(args, TOTAL) - begin)
                image, y = row // arg(args, OUT_HEIGHT), row % arg(args, OUT_HEIGHT)
                source = image * arg(args, IN_HEIGHT) + y * arg(args, STRIDE_Y)
                source *= arg(args, IN_WIDTH)
                x = 0
                while x + MANY <= count:
                    many(args, w, tile, source + x * arg(args, STRIDE_X), begin + x)
                    x += MANY
                while x + 4 <= count:
                    four(args, w, tile, source + x * arg(args, STRIDE_X), begin + x)
                    x += 4
                while x < count:
                    one(args, w, tile, source + x * arg(args, STRIDE_X), begin + x)
                    x += 1
        if arg(args, SINK) != 0:
            end = min(last_row * arg(args, PIXELS), arg(args, TOTAL))
            for pixel in range(first_row * arg(args, PIXELS), end):
                encode_pixel(arg(args, SINK), pixel, arg(args, OUT) + pixel * arg(args, OUT_STRIDE))

    return convolution


def _pixels(product, tokens):
    """`tokens` output pixels from `pixel` on, whose first tap reads input pixel `source`."""

    @inline
    def pixels(args, w, tile, source, pixel):
        at, stride = 64 * tile, arg(args, OUT_STRIDE)
        bias = simd.splat(simd.float32(0))
        if arg(args, BIAS) != 0:
            bias = simd.load_floats(arg(args, BIAS) + at)
        acc = product(args, w, source, simd.splat_rows(tokens, bias))
        if arg(args, RESIDUAL) != 0:
            step = arg(args, RESIDUAL_STRIDE)
            acc = simd.add_rows(acc, arg(args, RESIDUAL) + pixel * step + at, step)
        low = simd.splat(simd.load_f32(args + 8 * LOW))
        acc = simd.clamp_rows(acc, low, simd.splat(simd.load_f32(args + 8 * HIGH)))
        simd.store_rows(acc, arg(args, OUT) + pixel * stride + at, stride)

    return pixels


def _by_codes(tokens):
    """8-bit codes with a scale a row (kernels/int8.py)."""
    chains = 4 if tokens == 1 else 1

    @inline
    def product(args, w, source, acc):
        pixel_bytes = arg(args, PIXEL_BYTES)
        step, scale_step = arg(args, STRIDE_X) * pixel_bytes, 4 * arg(args, STRIDE_X)
        scale, codes = simd.load_floats(w), w + 64
        columns = arg(args, TAP_STEPS)
        for ky in range(arg(args, KERNEL_HEIGHT)):
            row = source + ky * arg(args, DILATION_Y) * arg(args, IN_WIDTH)
            for kx in range(arg(args, KERNEL_WIDTH)):
                at = row + kx * arg(args, DILATION_X)
                x = arg(args, X) + at * pixel_bytes
                sums = simd.int8_starts(arg(args, X_STARTS) + 4 * at, scale_step, tokens, chains)
                for _ in range(columns // 4):
                    sums = simd.dot64_int8(sums, codes, x, step, tokens)
                    codes += 1024
                    x += 64
                for _ in range(columns % 4):
                    sums = simd.dot16_int8(sums, codes, x, step, tokens)
                    codes += 256
                    x += 16
                acc = simd.add_scaled(acc, sums, scale, arg(args, X_SCALES) + 4 * at, scale_step)
        return acc

    return product


def _by_floats(kind):
    load, width = {"float32": (simd.load_floats, 64), "float16": (simd.load_halves, 32)}[kind]

    def of_tokens(tokens):
        if tokens == 1:
            return _by_floats_of_one(load, width)

        @inline
        def product(args, w, source, acc):
            pixel_bytes = arg(args, PIXEL_BYTES)
            step = arg(args, STRIDE_X) * pixel_bytes
            for ky in range(arg(args, KERNEL_HEIGHT)):
                row = source + ky * arg(args, DILATION_Y) * arg(args, IN_WIDTH)
                for kx in range(arg(args, KERNEL_WIDTH)):
                    x = arg(args, X) + (row + kx * arg(args, DILATION_X)) * pixel_bytes
                    for _ in range(arg(args, TAP_STEPS)):  # one column
                        acc = simd.add_outer(acc, load(w), x, step)
                        w += width
                        x += 4
                    w += arg(args, TAP_SKIP)
            return acc

        return product

    return of_tokens


def _by_floats_of_one(load, width):
    """Four chains of sums: alone, each addition would wait for the one before."""

    @inline
    def product(args, w, source, acc):
        pixel_bytes, steps = arg(args, PIXEL_BYTES), arg(args, TAP_STEPS)
        zero = simd.splat(simd.float32(0))
        a, b, c, d = acc[0], zero, zero, zero
        for ky in range(arg(args, KERNEL_HEIGHT)):
            row = source + ky * arg(args, DILATION_Y) * arg(args, IN_WIDTH)
            for kx in range(arg(args, KERNEL_WIDTH)):
                x = arg(args, X) + (row + kx * arg(args, DILATION_X)) * pixel_bytes
                for _ in range(steps // 4):
                    a = simd.fma(load(w), simd.splat(simd.load_f32(x)), a)
                    b = simd.fma(load(w + width), simd.splat(simd.load_f32(x + 4)), b)
                    c = simd.fma(load(w + 2 * width), simd.splat(simd.load_f32(x + 8)), c)
                    d = simd.fma(load(w + 3 * width), simd.splat(simd.load_f32(x + 12)), d)
                    w += 4 * width
                    x += 16
                for _ in range(steps % 4):
                    a = simd.fma(load(w), simd.splat(simd.load_f32(x)), a)
                    w += width
                    x += 4
                w += arg(args, TAP_SKIP)
        return (a + b + (c + d),)

    return product
