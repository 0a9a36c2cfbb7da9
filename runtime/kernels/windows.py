"""What slides over an image and keeps channels apart: depthwise convolution, pooling.

Channels last, 16 of them a vector; pixels are float32 vectors padded with zeros.  A chunk is a
block of output rows.  Four blocks of channels are worked on at once, so that no sum waits for the one
before.  Taps beyond the edge are left out.
"""

from . import simd
from .compiler import Kernel, inline
from .matmul import arg
from .pixels import encode_pixels

(
    ROWS, PIXELS, ROWS_PER_CHUNK,  # output rows (of all images), pixels of each
    BLOCKS, BLOCKS_PER_CHUNK,  # of 16 channels; a chunk has all where there is a sink
    X, X_BYTES, IN_HEIGHT, IN_WIDTH,  # pixels X_BYTES apart
    OUT, OUT_BYTES, OUT_HEIGHT,  # OUT 0: nobody wants the floats; a row of them is scratch
    WEIGHT, BIAS, LOW, HIGH,  # depthwise: [taps][BLOCKS * 16], [BLOCKS * 16]; float32 bits
    KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X, TOP, LEFT,
    COUNTED,  # average: taps that it is over, 0: those inside of the image
    SINK,  # address of pixels.py's table, or 0
) = range(26)  # fmt: skip


def kernel(kind: str, size: int = 0) -> Kernel:
    """`kind`: "depthwise", "max" or "average"; `size`: of a square of so many taps a side, or 0.

    Loops over a size that is known are unrolled, and two pixels share the weights.
    """
    one, two, four = (_blocks(*_KINDS[kind], size, blocks) for blocks in (1, 2, 4))
    pair = _pair(*_KINDS[kind], size)

    def windows(args, chunk, scratch):
        runs = (arg(args, BLOCKS) + arg(args, BLOCKS_PER_CHUNK) - 1) // arg(args, BLOCKS_PER_CHUNK)
        first_row = chunk // runs * arg(args, ROWS_PER_CHUNK)
        last_row = min(first_row + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
        first = chunk % runs * arg(args, BLOCKS_PER_CHUNK)
        last = min(first + arg(args, BLOCKS_PER_CHUNK), arg(args, BLOCKS))
        count, step, left = arg(args, PIXELS), arg(args, STRIDE_X), arg(args, LEFT)
        # Pixels from `inner` to `outer` have all their columns of taps in the image.
        reach = (arg(args, KERNEL_WIDTH) - 1) * arg(args, DILATION_X)
        inner = min((left + step - 1) // step, count)
        outer = min(max((arg(args, IN_WIDTH) - 1 - reach + left) // step + 1, inner), count)
        pairs = size > 0 and not simd.few_registers()
        for row in range(first_row, last_row):
            y = row % arg(args, OUT_HEIGHT) * arg(args, STRIDE_Y) - arg(args, TOP)
            y_taps = _inside(
                y, arg(args, DILATION_Y), arg(args, KERNEL_HEIGHT), arg(args, IN_HEIGHT)
            )
            y += row // arg(args, OUT_HEIGHT) * arg(args, IN_HEIGHT)
            in_row = arg(args, X) + (y * arg(args, IN_WIDTH) - left) * arg(args, X_BYTES)
            out_row = scratch
            if arg(args, OUT) != 0:
                out_row = arg(args, OUT) + row * count * arg(args, OUT_BYTES)
            whole = pairs and y_taps[1] - y_taps[0] == size
            block = first
            while block < last:  # a few blocks at a time: their weights stay in the L1 cache
                some = 4 if block + 4 <= last else 2 if block + 2 <= last else 1
                column = 0
                while column < count:
                    source = in_row + column * step * arg(args, X_BYTES)
                    out = out_row + column * arg(args, OUT_BYTES)
                    if whole and some == 4 and column >= inner and column + 2 <= outer:
                        pair(args, 64 * block, source, out)
                        column += 2
                        continue
                    x_taps = _inside(
                        column * step - left,
                        arg(args, DILATION_X),
                        arg(args, KERNEL_WIDTH),
                        arg(args, IN_WIDTH),
                    )
                    if some == 4:
                        four(args, 64 * block, source, out, y_taps, x_taps)
                    elif some == 2:
                        two(args, 64 * block, source, out, y_taps, x_taps)
                    else:
                        one(args, 64 * block, source, out, y_taps, x_taps)
                    column += 1
                block += some
            if arg(args, SINK) != 0:
                encode_pixels(arg(args, SINK), row * count, count, out_row, arg(args, OUT_BYTES))

    return windows


@inline
def _inside(start, dilation, kernel, size):
    """First and end of the taps at start + k * dilation that are within 0..size-1."""
    if start >= 0 and start + (kernel - 1) * dilation < size:
        return 0, kernel
    first = (-start + dilation - 1) // dilation if start < 0 else 0
    end = (size - start + dilation - 1) // dilation if size > start else 0
    return first, max(first, min(end, kernel))


def _blocks(begin, tap, end, size, blocks):
    """`blocks` blocks of channels, from byte `at` of a pixel on, of one output pixel."""

    @inline
    def pixel(args, at, source, out, y_taps, x_taps):
        aside = arg(args, DILATION_X) * arg(args, X_BYTES)
        down = arg(args, DILATION_Y) * arg(args, IN_WIDTH) * arg(args, X_BYTES)
        taps, columns = 64 * arg(args, BLOCKS), arg(args, KERNEL_WIDTH)
        acc = begin(args, at, blocks)
        (j, j_end), (i, i_end) = y_taps, x_taps
        source += at
        weight = arg(args, WEIGHT) + at
        if size > 0 and j_end - j == size and i_end - i == size:
            for y in range(size):
                for x in range(size):
                    acc = tap(acc, source + y * down + x * aside, weight)
                    weight += taps
        else:
            for y in range(j, j_end):
                for x in range(i, i_end):
                    w = weight + (y * columns + x) * taps
                    acc = tap(acc, source + y * down + x * aside, w)
        acc = end(args, acc, (j_end - j) * (i_end - i))
        simd.store_rows(acc, out + at, 64)

    return pixel


def _pair(begin, tap, end, size):
    """Four blocks of channels of two output pixels with all their taps."""

    @inline
    def pixels(args, at, source, out):
        aside = arg(args, DILATION_X) * arg(args, X_BYTES)
        down = arg(args, DILATION_Y) * arg(args, IN_WIDTH) * arg(args, X_BYTES)
        taps, step = 64 * arg(args, BLOCKS), arg(args, STRIDE_X) * arg(args, X_BYTES)
        a, b = begin(args, at, 4), begin(args, at, 4)
        source += at
        weight = arg(args, WEIGHT) + at
        for y in range(size):
            for x in range(size):
                one = source + y * down + x * aside
                a = tap(a, one, weight)
                b = tap(b, one + step, weight)
                weight += taps
        simd.store_rows(end(args, a, size * size), out + at, 64)
        simd.store_rows(end(args, b, size * size), out + at + arg(args, OUT_BYTES), 64)

    return pixels


@inline
def _bias(args, at, blocks):
    return simd.add_rows(simd.zero_floats(blocks), arg(args, BIAS) + at, 64)


@inline
def _lowest(args, at, blocks):
    return simd.splat_rows(blocks, simd.splat(simd.float32(-3.4028234663852886e38)))


@inline
def _nothing(args, at, blocks):
    return simd.zero_floats(blocks)


@inline
def _multiply(acc, source, weight):
    return simd.add_rows_times(acc, source, weight)


@inline
def _larger(acc, source, weight):
    return simd.max_rows(acc, source, 64)


@inline
def _sum(acc, source, weight):
    return simd.add_rows(acc, source, 64)


@inline
def _clamped(args, acc, taps):
    low = simd.splat(simd.load_f32(args + 8 * LOW))
    return simd.clamp_rows(acc, low, simd.splat(simd.load_f32(args + 8 * HIGH)))


@inline
def _itself(args, acc, taps):
    return acc


@inline
def _mean(args, acc, taps):
    counted = arg(args, COUNTED)
    over = simd.float32(counted if counted > 0 else max(taps, 1))
    return simd.scale_rows(acc, simd.splat(simd.float32(1) / over))


_KINDS = {
    "depthwise": (_bias, _multiply, _clamped),
    "max": (_lowest, _larger, _itself),
    "average": (_nothing, _sum, _mean),
}
