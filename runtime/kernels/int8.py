"""8-bit codes: w = scale * (code - 128), a float16 scale per row and group or float32 per row.

64 bytes hold 16 rows x 4 columns.  Activations are int8 per token and 32 columns for grouped
weights, per token for weights with one scale a row.  Starts are -128 * sum(q) where the
target's product takes unsigned codes (simd.int8_starts leaves them out where it does not).
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel(group: int) -> Kernel:
    """Matrix product for weights with a scale per `group` (32, 64, 128) columns, or 0: per row."""
    if group:
        return matmul.kernel(lambda tokens: _grouped(group // 32, tokens))
    return matmul.kernel(_by_row)


def _grouped(runs, tokens):
    """A tile times `tokens` tokens; a weight scale serves `runs` runs of 32 columns."""
    block_bytes = 64 + 1024 * runs

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        for _ in range(arg(args, matmul.STEPS)):  # a block: two groups
            codes = w + 64
            for half in range(0, 64, 32):
                scale = simd.load_halves(w + half)
                for _ in range(runs):
                    at = (x, x_stride, x_scales, starts, group_stride)
                    acc = simd.add_int8_run(acc, codes, scale, scale, at)
                    codes += 512
                    x += 32
                    x_scales += 4
                    starts += 4
            w += block_bytes
        return acc

    return product


def _by_row(tokens):
    chains = 4 if tokens == 1 else 1  # independent sums: one token alone waits for latency

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        scale = simd.load_floats(w)
        codes = w + 64
        sums = simd.int8_starts(starts, group_stride, tokens, chains)
        for _ in range(arg(args, matmul.STEPS)):  # 64 columns
            sums = simd.dot64_int8(sums, codes, x, x_stride, tokens)
            codes += 1024
            x += 64
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        return simd.add_scaled(simd.zero_floats(tokens), sums, scale, x_scales, group_stride)

    return product
