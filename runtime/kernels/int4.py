"""4-bit codes: w = scale * (code - 8), or scale * code + offset; float16 per row and group.

64 bytes hold 16 rows x 8 columns: columns 0-3 in the low nibbles, 4-7 in the high ones.
Activations are int8 per token and 32 columns.  Sum over a group of 32:

    scale * x_scale * (sum(code * q) - 8 * sum(q))          starts: int32 -8 * sum(q)
    scale * x_scale * sum(code * q) + offset * moment       moments: float32 x_scale * sum(q)
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel(group: int, offset: bool) -> Kernel:
    """Matrix product for weights with a scale per `group` (32, 64, 128) columns."""
    return matmul.kernel(lambda tokens: _product(group // 32, offset, tokens))


def _product(runs, offset, tokens):
    """A tile times `tokens` tokens; a weight scale serves `runs` runs of 32 columns."""
    codes_at = 128 if offset else 64
    block_bytes = codes_at + 512 * runs
    add_run = simd.add_int4_shifted_run if offset else simd.add_int4_run

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        for _ in range(arg(args, matmul.STEPS)):  # a block: two groups
            codes = w + codes_at
            for half in range(0, 64, 32):
                scale = simd.load_halves(w + half)
                shift = simd.load_halves(w + 64 + half) if offset else scale
                for _ in range(runs):
                    at = (x, x_stride, x_scales, starts, group_stride)
                    acc = add_run(acc, codes, scale, shift, at)
                    codes += 256
                    x += 32
                    x_scales += 4
                    starts += 4
            w += block_bytes
        return acc

    return product
