"""Codes of 2 to 6 bits with scales of two levels, the grids of ggml's K-quants.

    w = scale * m * (code - zero)         an int8 m for 16 columns
    w = scale * m * code + offset * n     int8 m and n for 32; of int2 0..15 for 16

A float16 scale (and offset) per row and 256 columns.  Activations are int8 per token and 32
columns.  scale * m is exact in float32, and becomes the scale of a run of columns:

    x_scale * sum(scale * m * (sum(code * q) - zero * sum(q)))            over two runs of 16
    scale * m * x_scale * sum(code * q) + offset * n * moment             over a run of 32
    x_scale * sum(scale * m * sum(code * q)) + sum(offset * n * moment)   over two runs of 16

with starts int32 -zero * sum(q) of 16 columns, moments float32 x_scale * sum(q) of a run.
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg

_HALVES = {"int6": (384, simd.add_int6_halves), "int3": (192, simd.add_int3_halves)}


def kernel(kind: str, offset: bool) -> Kernel:
    """Matrix product."""
    if offset:
        return matmul.kernel(lambda tokens: _shifted(*_SHIFTED[kind], tokens))
    return matmul.kernel(lambda tokens: _halves(*_HALVES[kind], tokens))


def _halves(run_bytes, add_halves, tokens):
    """A tile times `tokens` tokens, two runs of 16 columns at a time."""

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        scales = w
        for piece in range(arg(args, matmul.STEPS)):  # 64 columns
            if piece % 8 == 0:  # a block: two groups
                scales = w
                w += 64
            scale = simd.load_halves(scales + piece % 8 // 4 * 32)
            codes = w + 64
            if tokens == 1:
                matmul.fetch_ahead(codes, 64 + 2 * run_bytes)
            for run in range(0, 64, 32):
                both = (scale * simd.load_int8s(w + run), scale * simd.load_int8s(w + run + 16))
                at = (x, x_stride, x_scales, starts, group_stride)
                acc = add_halves(acc, codes, both, both, at)
                codes += run_bytes
                x += 32
                x_scales += 4
                starts += 8
            w = codes
        return acc

    return product


def _shifted(run_bytes, add_run, factors, starts_bytes, tokens):
    """A tile times `tokens` tokens, 32 columns at a time."""

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        scales = w
        for piece in range(arg(args, matmul.STEPS)):  # 64 columns
            if piece % 4 == 0:  # a block: one group
                scales = w
                w += 64
            scale, offset = simd.load_halves(scales), simd.load_halves(scales + 32)
            codes = w + 64
            if tokens == 1:
                matmul.fetch_ahead(codes, 64 + 2 * run_bytes)
            for half in range(2):
                own, shift = factors(scale, offset, w, half)
                at = (x, x_stride, x_scales, starts, group_stride)
                acc = add_run(acc, codes, own, shift, at)
                codes += run_bytes
                x += 32
                x_scales += 4
                starts += starts_bytes
            w = codes
        return acc

    return product


@inline
def _of_32(scale, offset, multipliers, half):
    """Of a run: int8 multipliers of two scales, then of two offsets."""
    at = multipliers + 16 * half
    return scale * simd.load_int8s(at), offset * simd.load_int8s(at + 32)


@inline
def _of_16(scale, offset, multipliers, half):
    """Of two runs: bytes of four, a scale's multiplier in the low half and an offset's in the high."""
    at = multipliers + 32 * half
    scales = scale * simd.load_low_nibbles(at), scale * simd.load_low_nibbles(at + 16)
    return scales, (offset * simd.load_high_nibbles(at), offset * simd.load_high_nibbles(at + 16))


_SHIFTED = {  # bytes of 32 columns, what multiplies them, their factors, bytes of their starts
    "int5": (320, simd.add_int5_shifted_run, _of_32, 4),
    "int4": (256, simd.add_int4_shifted_run, _of_32, 4),
    "int2": (128, simd.add_int2_shifted_halves, _of_16, 8),
}
