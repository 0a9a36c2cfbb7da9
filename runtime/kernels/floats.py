"""Float weights, 16 rows of a column side by side; activations are float32."""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel(kind: str) -> Kernel:
    """Matrix product for "float32" or "float16" weights."""
    load, width = {"float32": (simd.load_floats, 64), "float16": (simd.load_halves, 32)}[kind]
    return matmul.kernel(lambda tokens: _product(load, width, tokens))


def _product(load, width, tokens):
    @inline
    def product(args, w, token):
        stride = arg(args, matmul.X_STRIDE)
        x = arg(args, matmul.X) + token * stride
        acc = simd.zero_floats(tokens)
        for _ in range(arg(args, matmul.STEPS)):  # one column
            acc = simd.add_outer(acc, load(w), x, stride)
            w += width
            x += 4
        return acc

    return product
