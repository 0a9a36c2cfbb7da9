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
from .pixels import encode_pixels

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
    product, pairs = (_by_codes, False) if kind == "int8" else (_by_floats(kind), True)
    row_of = _row(product, pairs)

    def convolution(args, chunk, scratch):
        runs = (arg(args, TILES) + arg(args, TILES_PER_CHUNK) - 1) // arg(args, TILES_PER_CHUNK)
        first_row = chunk // runs * arg(args, ROWS_PER_CHUNK)
        last_row = min(first_row + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
        tile = chunk % runs * arg(args, TILES_PER_CHUNK)
        last = min(tile + arg(args, TILES_PER_CHUNK), arg(args, TILES))
        while tile < last:
            w = arg(args, WEIGHT) + tile * arg(args, TILE_BYTES)
            two = pairs and tile + 2 <= last and not simd.few_registers()
            for row in range(first_row, last_row):
                row_of(args, w, tile, two, row)
            tile += 2 if two else 1
        if arg(args, SINK) != 0:
            stride, begin = arg(args, OUT_STRIDE), first_row * arg(args, PIXELS)
            end = min(last_row * arg(args, PIXELS), arg(args, TOTAL))
            encode_pixels(
                arg(args, SINK), begin, end - begin, arg(args, OUT) + begin * stride, stride
            )

    return convolution


def _row(product, pairs):
    """An output row of the tile whose weights are at `w`, or, if `two`, of that and the next."""
    one = _pixels(product(1, 1), 1, 1)
    four, many = (_one_or_two(product, tokens, pairs) for tokens in (4, MANY))

    @inline
    def pixels(args, w, tile, two, row):
        begin = row * arg(args, PIXELS)
        count = min(arg(args, PIXELS), arg(args, TOTAL) - begin)
        image, y = row // arg(args, OUT_HEIGHT), row % arg(args, OUT_HEIGHT)
        source = image * arg(args, IN_HEIGHT) + y * arg(args, STRIDE_Y)
        source *= arg(args, IN_WIDTH)
        # The last ones are done again with some before them, unless they are added to themselves.
        may_repeat = count >= 4 and arg(args, RESIDUAL) != arg(args, OUT)
        x = 0
        while x < count:
            if x + MANY <= count:
                size = MANY
            elif x + 4 <= count or may_repeat:
                size = 4
                x = min(x, count - 4)
            else:
                size = 1
            at = source + x * arg(args, STRIDE_X)
            if size == 1:
                for t in range(1 + two):
                    one(args, w + t * arg(args, TILE_BYTES), tile + t, at, begin + x)
            elif size == 4:
                four(args, w, tile, two, at, begin + x)
            else:
                many(args, w, tile, two, at, begin + x)
            x += size

    return pixels


def _one_or_two(product, tokens, pairs):
    """`tokens` pixels of one tile, or, if `two`, of it and the next at once."""
    single = _pixels(product(tokens, 1), tokens, 1)
    double = _pixels(product(tokens, 2), tokens, 2) if pairs else None

    @inline
    def alone(args, w, tile, two, source, pixel):
        single(args, w, tile, source, pixel)

    @inline
    def either(args, w, tile, two, source, pixel):
        if two:
            double(args, w, tile, source, pixel)
        else:
            single(args, w, tile, source, pixel)

    return either if pairs else alone


def _pixels(product, tokens, tiles):
    """`tokens` output pixels from `pixel` on, whose first tap reads input pixel `source`."""

    @inline
    def pixels(args, w, tile, source, pixel):
        at, bias = 64 * tile, arg(args, BIAS)
        if bias != 0:
            bias += at
        if tiles == 1:
            acc = product(args, w, source, _begun(bias, tokens))
            _finish(args, acc, at, pixel)
        else:
            acc = _begun(bias, tokens) + _begun(bias + 64 * (bias != 0), tokens)
            acc = product(args, w, source, acc)
            _finish(args, simd.first_half(acc), at, pixel)
            _finish(args, simd.second_half(acc), at + 64, pixel)

    return pixels


@inline
def _begun(bias, tokens):
    first = simd.splat(simd.float32(0))
    if bias != 0:
        first = simd.load_floats(bias)
    return simd.splat_rows(tokens, first)


@inline
def _finish(args, acc, at, pixel):
    """Add what there is to add, clamp, and store a tile of pixels, `at` bytes from their start."""
    stride = arg(args, OUT_STRIDE)
    if arg(args, RESIDUAL) != 0:
        step = arg(args, RESIDUAL_STRIDE)
        acc = simd.add_rows(acc, arg(args, RESIDUAL) + pixel * step + at, step)
    low = simd.splat(simd.load_f32(args + 8 * LOW))
    acc = simd.clamp_rows(acc, low, simd.splat(simd.load_f32(args + 8 * HIGH)))
    simd.store_rows(acc, arg(args, OUT) + pixel * stride + at, stride)


def _by_codes(tokens, tiles):
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

    def product(tokens, tiles):
        if tokens == 1:
            return _by_floats_of_one(load, width)
        if tokens == MANY and tiles == 1:
            return _by_halves(*(_by_floats_of_block(load, width, n, 1) for n in (MANY, MANY // 2)))
        return _by_floats_of_block(load, width, tokens, tiles)

    return product


def _by_floats_of_block(load, width, tokens, tiles):
    @inline
    def columns(w):
        return load(w), load(w + width), load(w + 2 * width), load(w + 3 * width)

    @inline
    def weights(w, apart):
        return columns(w) if tiles == 1 else columns(w) + columns(w + apart)

    @inline
    def add_one(acc, w, apart, x, step):
        if tiles == 1:
            return simd.add_outer(acc, load(w), x, step)
        first = simd.add_outer(simd.first_half(acc), load(w), x, step)
        return first + simd.add_outer(simd.second_half(acc), load(w + apart), x, step)

    @inline
    def product(args, w, source, acc):
        pixel_bytes, apart = arg(args, PIXEL_BYTES), arg(args, TILE_BYTES)
        step, steps = arg(args, STRIDE_X) * pixel_bytes, arg(args, TAP_STEPS)
        for ky in range(arg(args, KERNEL_HEIGHT)):
            row = source + ky * arg(args, DILATION_Y) * arg(args, IN_WIDTH)
            for kx in range(arg(args, KERNEL_WIDTH)):
                x = arg(args, X) + (row + kx * arg(args, DILATION_X)) * pixel_bytes
                for _ in range(steps // 4):
                    acc = simd.add_columns(acc, weights(w, apart), x, step)
                    w += 4 * width
                    x += 16
                for _ in range(steps % 4):
                    acc = add_one(acc, w, apart, x, step)
                    w += width
                    x += 4
                w += arg(args, TAP_SKIP)
        return acc

    return product


def _by_halves(whole, half):
    """One half of the tokens after the other, where the sums of all of them would be spilled."""

    @inline
    def product(args, w, source, acc):
        if not simd.few_registers():
            return whole(args, w, source, acc)
        first = half(args, w, source, simd.first_half(acc))
        source += MANY // 2 * arg(args, STRIDE_X)
        return first + half(args, w, source, simd.second_half(acc))

    return product


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
