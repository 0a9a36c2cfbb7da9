"""Float weights, 16 rows of a column side by side; activations are float32."""

from . import matmul, simd
from .compiler import Kernel, inline
from .matmul import arg


def kernel(kind: str) -> Kernel:
    """Matrix product for "float32" or "float16" weights."""
    load, width = {"float32": (simd.load_floats, 64), "float16": (simd.load_halves, 32)}[kind]

    def product(tokens):
        whole = _product(load, width, tokens)
        return _by_halves(whole, _product(load, width, tokens // 2)) if tokens > 4 else whole

    return matmul.kernel(product)


def _product(load, width, tokens):
    @inline
    def product(args, w, token):
        stride, steps = arg(args, matmul.X_STRIDE), arg(args, matmul.STEPS)
        x = arg(args, matmul.X) + token * stride
        acc = simd.zero_floats(tokens)
        for _ in range(steps // 4):
            columns = load(w), load(w + width), load(w + 2 * width), load(w + 3 * width)
            acc = simd.add_columns(acc, columns, x, stride)
            w += 4 * width
            x += 16
        for _ in range(steps % 4):  # one column
            acc = simd.add_outer(acc, load(w), x, stride)
            w += width
            x += 4
        return acc

    return product


def _by_halves(whole, half):
    """One half of the tokens after the other, where the sums of all of them would be spilled."""

    @inline
    def product(args, w, token):
        if not simd.few_registers():
            return whole(args, w, token)
        return half(args, w, token) + half(args, w, token + matmul.MANY // 2)

    return product
