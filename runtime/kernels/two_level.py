"""Codes of 3 to 6 bits with scales of two levels, the grids of ggml's K-quants.

    w = scale * m * (code - zero)         an int8 m for 16 columns
    w = scale * m * code + offset * n     int8 m and n for 32

A float16 scale (and offset) per row and 256 columns.  Activations are int8 per token and 32
columns.  scale * m is exact in float32, and becomes the scale of a run of columns:

    x_scale * sum(scale * m * (sum(code * q) - zero * sum(q)))      over two runs of 16
    scale * m * x_scale * sum(code * q) + offset * n * moment       over a run of 32

with starts int32 -zero * sum(q) of 16 columns, moments float32 x_scale * sum(q) of 32.
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg

_HALVES = {"int6": (384, simd.add_int6_halves), "int3": (192, simd.add_int3_halves)}
_SHIFTED = {  # bytes of 32 columns, what multiplies them
    "int5": (320, simd.add_int5_shifted_run),
    "int4": (256, simd.add_int4_shifted_run),
}


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
            for run in range(0, 64, 32):
                first = scale * simd.load_int8s(w + run)
                second = scale * simd.load_int8s(w + run + 16)
                at = (x, x_stride, x_scales, starts, group_stride)
                acc = add_halves(acc, codes, first, second, at)
                codes += run_bytes
                x += 32
                x_scales += 4
                starts += 8
            w = codes
        return acc

    return product


def _shifted(run_bytes, add_run, tokens):
    """A tile times `tokens` tokens, a run of 32 columns at a time."""

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
            for run in range(0, 32, 16):
                own = scale * simd.load_int8s(w + run)
                shift = offset * simd.load_int8s(w + 32 + run)
                at = (x, x_stride, x_scales, starts, group_stride)
                acc = add_run(acc, codes, own, shift, at)
                codes += run_bytes
                x += 32
                x_scales += 4
                starts += 4
            w = codes
        return acc

    return product
