"""4-bit codes of a codebook: w = scale * codebook[code]; float16 scales per row and group.

A tile begins with 64 bytes of codebooks, 16 int8 levels for every 4 rows; the rest is as in
grouped.py.  A byte shuffle turns nibbles into levels, which products then take as they take 8-bit
codes: starts are -128 * sum(q) where they want them unsigned.
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel(group: int) -> Kernel:
    """Matrix product for weights with a scale per `group` (32, 64, 128) columns."""
    return matmul.kernel(lambda tokens: _product(group // 32, tokens))


def _product(runs, tokens):
    """A tile times `tokens` tokens; a weight scale serves `runs` runs of 32 columns."""
    block_bytes = 64 + 512 * runs

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        books = simd.load_codebooks(w)
        w += 64
        for _ in range(arg(args, matmul.STEPS)):  # a block: two groups
            if tokens == 1:
                matmul.fetch_ahead(w, block_bytes)
            codes = w + 64
            for half in range(0, 64, 32):
                scale = simd.load_halves(w + half)
                for _ in range(runs):
                    at = (x, x_stride, x_scales, starts, group_stride)
                    acc = simd.add_code4_run(acc, codes, scale, books, at)
                    codes += 256
                    x += 32
                    x_scales += 4
                    starts += 4
            w += block_bytes
        return acc

    return product
