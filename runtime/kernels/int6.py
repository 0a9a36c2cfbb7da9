"""6-bit codes: w = scale * multiplier * (code - 32), the grid of Q6_K in ggml.

A float16 scale per row and 256 columns, an int8 multiplier per row and 16 columns.  Activations
are int8 per token and 32 columns; starts are -32 * sum(q) of 16 columns.  Over 32 columns

    scale * x_scale * sum(multiplier * (sum(code * q) - 32 * sum(q)))

and the integer sum is below 2 * 128 * 16 * 32 * 127 < 2**24: float32 holds it exactly.
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel() -> Kernel:
    """Matrix product."""
    return matmul.kernel(_product)


def _product(tokens):
    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        scales = w
        for step in range(arg(args, matmul.STEPS)):  # 256 columns: half a block
            if step % 2 == 0:
                scales = w
                w += 64
            scale = simd.load_halves(scales + step % 2 * 32)
            multipliers = w
            w += 256
            for _ in range(8):  # 32 columns
                total = simd.zero_ints(tokens, 1)
                for _ in range(2):
                    sums = simd.small_starts(starts, group_stride, tokens, 1)
                    codes = simd.int6_codes(
                        simd.load_bytes(w), simd.load_bytes(w + 64), simd.load_bytes(w + 128)
                    )
                    sums = simd.dot16_int6(sums, codes, x, x_stride, tokens)
                    total = simd.add_multiplied(total, sums, multipliers)
                    multipliers += 16
                    w += 192
                    x += 16
                    starts += 4
                acc = simd.add_scaled(acc, total, scale, x_scales, group_stride)
                x_scales += 4
        return acc

    return product
