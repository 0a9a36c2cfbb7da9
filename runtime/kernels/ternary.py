"""Ternary codes: w = scale * (code - 1); 2 bits a weight, or 1.6 ("dense", five in a byte).

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
    """Matrix product for five codes in a byte, a scale per row."""
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
        for _ in range(arg(args, matmul.STEPS)):  # 80 columns: 4 vectors of 5 digits
            a = simd.trits(simd.load_bytes(w))
            b = simd.trits(simd.load_bytes(w + 64))
            c = simd.trits(simd.load_bytes(w + 128))
            d = simd.trits(simd.load_bytes(w + 192))
            sums = simd.dot16_small(sums, (a[0], a[1], a[2], a[3]), x, x_stride, tokens)
            sums = simd.dot16_small(sums, (a[4], b[0], b[1], b[2]), x + 16, x_stride, tokens)
            sums = simd.dot16_small(sums, (b[3], b[4], c[0], c[1]), x + 32, x_stride, tokens)
            sums = simd.dot16_small(sums, (c[2], c[3], c[4], d[0]), x + 48, x_stride, tokens)
            sums = simd.dot16_small(sums, (d[1], d[2], d[3], d[4]), x + 64, x_stride, tokens)
            w += 256
            x += 80
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        return simd.add_scaled(simd.zero_floats(tokens), sums, scale, x_scales, group_stride)

    return product
