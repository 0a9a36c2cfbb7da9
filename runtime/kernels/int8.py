"""8-bit codes with a float32 scale a row: w = scale * (code - 128).

64 bytes hold 16 rows x 4 columns.  Activations are int8 per token.  Starts are -128 * sum(q) where
the target's product takes unsigned codes (simd.int8_starts leaves them out where it does not).
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel() -> Kernel:
    """Matrix product."""
    return matmul.kernel(_by_row)


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
            if tokens == 1:
                matmul.fetch_ahead(codes, 1024)
            sums = simd.dot64_int8(sums, codes, x, x_stride, tokens)
            codes += 1024
            x += 64
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        return simd.add_scaled(simd.zero_floats(tokens), sums, scale, x_scales, group_stride)

    return product
