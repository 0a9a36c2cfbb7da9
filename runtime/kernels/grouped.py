"""Codes of 4, 5 or 8 bits with a float16 scale, and perhaps an offset, per row and group.

    w = scale * (code - zero)    or    w = scale * code + offset

Activations are int8 per token and 32 columns.  Sum over 32 columns:

    scale * x_scale * (sum(code * q) - zero * sum(q))       starts: int32 -zero * sum(q)
    scale * x_scale * sum(code * q) + offset * moment       moments: float32 x_scale * sum(q)

For int8 (zero = 128) the runs leave the starts out where the target's product takes signed codes.
"""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg

_RUNS = {  # bytes of 32 columns, what multiplies them
    ("int8", False): (512, simd.add_int8_run),
    ("int5", False): (320, simd.add_int5_run),
    ("int5", True): (320, simd.add_int5_shifted_run),
    ("int4", False): (256, simd.add_int4_run),
    ("int4", True): (256, simd.add_int4_shifted_run),
}


def kernel(kind: str, group: int, offset: bool) -> Kernel:
    """Matrix product for weights with a scale per `group` (32, 64, 128) columns."""
    return matmul.kernel(lambda tokens: _product(*_RUNS[kind, offset], group // 32, offset, tokens))


def _product(run_bytes, add_run, runs, offset, tokens):
    """A tile times `tokens` tokens; a weight scale serves `runs` runs of 32 columns."""
    codes_at = 128 if offset else 64
    block_bytes = codes_at + 2 * run_bytes * runs

    @inline
    def product(args, w, token):
        x_stride, group_stride = arg(args, matmul.X_STRIDE), arg(args, matmul.X_GROUPS_STRIDE)
        x = arg(args, matmul.X) + token * x_stride
        x_scales = arg(args, matmul.X_SCALES) + token * group_stride
        starts = arg(args, matmul.X_STARTS) + token * group_stride
        acc = simd.zero_floats(tokens)
        for _ in range(arg(args, matmul.STEPS)):  # a block: two groups
            if tokens == 1:
                matmul.fetch_ahead(w, block_bytes)
            codes = w + codes_at
            for half in range(0, 64, 32):
                scale = simd.load_halves(w + half)
                shift = simd.load_halves(w + 64 + half) if offset else scale
                for _ in range(runs):
                    at = (x, x_stride, x_scales, starts, group_stride)
                    acc = add_run(acc, codes, scale, shift, at)
                    codes += run_bytes
                    x += 32
                    x_scales += 4
                    starts += 4
            w += block_bytes
        return acc

    return product
