"""What slides over an image and keeps channels apart: depthwise convolution, pooling.

Channels last, 16 of them a vector; pixels are float32 vectors padded with zeros.  A chunk is a
block of output rows times a run of channel blocks.  Taps beyond the edge are left out.
"""

from . import simd
from .compiler import Kernel, inline
from .matmul import arg
from .pixels import encode_pixel

(
    ROWS, PIXELS, ROWS_PER_CHUNK,  # output rows (of all images), pixels of each
    BLOCKS, BLOCKS_PER_CHUNK,  # of 16 channels; a chunk has all where there is a sink
    X, X_BYTES, IN_HEIGHT, IN_WIDTH,  # pixels X_BYTES apart
    OUT, OUT_BYTES, OUT_HEIGHT,
    WEIGHT, BIAS, LOW, HIGH,  # depthwise: [taps][BLOCKS * 16], [BLOCKS * 16]; float32 bits
    KERNEL_HEIGHT, KERNEL_WIDTH, STRIDE_Y, STRIDE_X, DILATION_Y, DILATION_X, TOP, LEFT,
    COUNTED,  # average: taps that it is over, 0: those inside of the image
    SINK,  # address of pixels.py's table, or 0
) = range(26)  # fmt: skip

_TOGETHER = 4  # pixels


def kernel(kind: str) -> Kernel:
    """`kind`: "depthwise", "max" or "average"."""
    begin, tap, end = _KINDS[kind]
    one, four = (_pixels(begin, tap, end, tokens) for tokens in (1, _TOGETHER))

    def windows(args, chunk, scratch):
        runs = (arg(args, BLOCKS) + arg(args, BLOCKS_PER_CHUNK) - 1) // arg(args, BLOCKS_PER_CHUNK)
        first_row = chunk // runs * arg(args, ROWS_PER_CHUNK)
        last_row = min(first_row + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
        first = chunk % runs * arg(args, BLOCKS_PER_CHUNK)
        last = min(first + arg(args, BLOCKS_PER_CHUNK), arg(args, BLOCKS))
        count = arg(args, PIXELS)
        reach = (arg(args, KERNEL_WIDTH) - 1) * arg(args, DILATION_X)
        step, left = arg(args, STRIDE_X), arg(args, LEFT)
        # Pixels from `inner` to `outer` have all their columns of taps in the image.
        inner = min((left + step - 1) // step, count)
        outer = min(max((arg(args, IN_WIDTH) - 1 - reach + left) // step + 1, inner), count)
        for row in range(first_row, last_row):
            y = row % arg(args, OUT_HEIGHT) * arg(args, STRIDE_Y) - arg(args, TOP)
            top = row // arg(args, OUT_HEIGHT) * arg(args, IN_HEIGHT)
            ky, ky_end = _inside(
                y, arg(args, DILATION_Y), arg(args, KERNEL_HEIGHT), arg(args, IN_HEIGHT)
            )
            for block in range(first, last):
                x = 0
                while x < count:
                    if x >= inner and x + _TOGETHER <= outer:
                        four(
                            args,
                            block,
                            row * count + x,
                            top + y,
                            x,
                            ky,
                            ky_end,
                            0,
                            arg(args, KERNEL_WIDTH),
                        )
                        x += _TOGETHER
                    else:
                        kx, kx_end = _inside(
                            x * step - left,
                            arg(args, DILATION_X),
                            arg(args, KERNEL_WIDTH),
                            arg(args, IN_WIDTH),
                        )
                        one(args, block, row * count + x, top + y, x, ky, ky_end, kx, kx_end)
                        x += 1
            if arg(args, SINK) != 0:
                for x in range(count):
                    pixel = row * count + x
                    encode_pixel(
                        arg(args, SINK), pixel, arg(args, OUT) + pixel * arg(args, OUT_BYTES)
                    )

    return windows


@inline
def _inside(start, dilation, kernel, size):
    """First and end of the taps at start + k * dilation that are within 0..size-1."""
    first = (-start + dilation - 1) // dilation if start < 0 else 0
    end = (size - start + dilation - 1) // dilation if size > start else 0
    return first, max(first, min(end, kernel))


def _pixels(begin, tap, end, tokens):
    """`tokens` output pixels from number `pixel`, `x` in their row, of one block of channels."""

    @inline
    def pixels(args, block, pixel, y, x, ky, ky_end, kx, kx_end):
        at, size = 64 * block, arg(args, X_BYTES)
        step = arg(args, STRIDE_X) * size
        acc = simd.splat_rows(tokens, begin(args, at))
        left = x * arg(args, STRIDE_X) - arg(args, LEFT)
        for j in range(ky, ky_end):
            row = (y + j * arg(args, DILATION_Y)) * arg(args, IN_WIDTH) + left
            source = arg(args, X) + (row + kx * arg(args, DILATION_X)) * size + at
            weight = arg(args, WEIGHT) + 64 * arg(args, BLOCKS) * (j * arg(args, KERNEL_WIDTH) + kx)
            weight += at
            for _ in range(kx, kx_end):
                acc = tap(acc, source, step, weight)
                source += size * arg(args, DILATION_X)
                weight += 64 * arg(args, BLOCKS)
        acc = end(args, acc, (ky_end - ky) * (kx_end - kx))
        stride = arg(args, OUT_BYTES)
        simd.store_rows(acc, arg(args, OUT) + pixel * stride + at, stride)

    return pixels


@inline
def _bias(args, at):
    return simd.load_floats(arg(args, BIAS) + at)


@inline
def _lowest(args, at):
    return simd.splat(simd.float32(-3.4028234663852886e38))


@inline
def _nothing(args, at):
    return simd.splat(simd.float32(0))


@inline
def _multiply(acc, source, step, weight):
    return simd.add_rows_times(acc, source, step, simd.load_floats(weight))


@inline
def _larger(acc, source, step, weight):
    return simd.max_rows(acc, source, step)


@inline
def _sum(acc, source, step, weight):
    return simd.add_rows(acc, source, step)


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
