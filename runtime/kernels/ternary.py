"""Ternary codes: w = scale * (code - 1); 2 bits a weight, or 5/3 ("dense", three in 5 bits).

Activations are int8 per token with one scale (BitNet b1.58, arXiv 2402.17764); starts are
-sum(q), for a group of weights that shares a scale -sum(q) of its columns.
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel(group: int) -> Kernel:
    """Matrix product for 2-bit codes with a scale per row (group 0) or per 256 columns."""
    return matmul.kernel(_grouped if group else _by_row)


def dense_kernel() -> Kernel:
    """Matrix product for three codes in five bits, a scale per row."""
    return matmul.kernel(_dense)


def _by_row(tokens):
    chains = 4 if tokens == 1 else 1

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        scale = simd.load_floats(w)
        w += 64
        sums = simd.small_starts(starts, group_stride, tokens, chains)
        for _ in range(arg(args, matmul.STEPS)):  # 64 columns
            if tokens == 1:
                matmul.fetch_ahead(w, 256)
            sums = simd.dot64_crumbs(sums, w, x, x_stride, tokens)
            w += 256
            x += 64
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        return simd.add_scaled(simd.zero_floats(tokens), sums, scale, x_scales, group_stride)

    return product


def _grouped(tokens):
    chains = 4 if tokens == 1 else 1

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        for _ in range(arg(args, matmul.STEPS)):  # 256 columns
            if tokens == 1:
                matmul.fetch_ahead(w, 1088)
            scale = simd.load_floats(w)
            w += 64
            sums = simd.small_starts(starts, group_stride, tokens, chains)
            for _ in range(4):
                sums = simd.dot64_crumbs(sums, w, x, x_stride, tokens)
                w += 256
                x += 64
            acc = simd.add_scaled(acc, sums, scale, x_scales, group_stride)
            starts += 4
            x_scales += 4
        return acc

    return product


def _dense(tokens):
    chains = 4 if tokens == 1 else 1

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        scale = simd.load_floats(w)
        w += 64
        sums = simd.small_starts(starts, group_stride, tokens, chains)
        for _ in range(arg(args, matmul.STEPS)):  # 96 columns: 4 vectors of nibbles, 1 of high bits
            if tokens == 1:
                matmul.fetch_ahead(w, 320)
            high = simd.load_bytes(w + 256)
            a = simd.trits(simd.load_bytes(w), high, 0)
            sums = simd.dot16_small(sums, (a[0], a[1], a[2], a[3]), x, x_stride, tokens)
            b = simd.trits(simd.load_bytes(w + 64), high, 1)
            sums = simd.dot16_small(sums, (a[4], a[5], b[0], b[1]), x + 16, x_stride, tokens)
            sums = simd.dot16_small(sums, (b[2], b[3], b[4], b[5]), x + 32, x_stride, tokens)
            c = simd.trits(simd.load_bytes(w + 128), high, 2)
            sums = simd.dot16_small(sums, (c[0], c[1], c[2], c[3]), x + 48, x_stride, tokens)
            d = simd.trits(simd.load_bytes(w + 192), high, 3)
            sums = simd.dot16_small(sums, (c[4], c[5], d[0], d[1]), x + 64, x_stride, tokens)
            sums = simd.dot16_small(sums, (d[2], d[3], d[4], d[5]), x + 80, x_stride, tokens)
            w += 320
            x += 96
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        return simd.add_scaled(simd.zero_floats(tokens), sums, scale, x_scales, group_stride)

    return product
