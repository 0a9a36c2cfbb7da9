"""What happens to tokens' vectors between two products: gates, norms, int8 codes.

Sources, sinks and arguments are those of kernels/activations.py.
"""

from collections.abc import Callable

import numpy as np

from ..kernels.layout import ACTIVATION_TOKENS
from ..kernels.normal import LIMIT, TAIL
from .memory import Kernel, bits_float, floats, integer, tokens_of, view

PIECES = 64  # chunks that softcap cuts a row into
ONE, HALF = np.float32(1), np.float32(0.5)


def kernel(source: str, norm: str, sink: str) -> Kernel:
    gate, alone = _GATES.get(source), _ALONE.get(source)

    def activations(args: list[int], chunks: range) -> None:
        end, x, x_stride, up, up_stride, out, stride, width, size, weight, epsilon = args[:11]
        first, count = tokens_of(chunks, ACTIVATION_TOKENS, integer(end))
        values = floats(x + first * x_stride, count, width, x_stride)
        kept = floats(out + first * stride, count, width, stride)
        if gate:
            kept[:] = gate(values) * floats(up + first * up_stride, count, width, up_stride)
            values = kept
        if alone:
            kept[:] = alone(values)
            values = kept
        if norm == "norm":
            kept[:] = normalized(values, weight, size, epsilon)
            values = kept
        if norm == "layernorm":
            kept[:] = _centered(values, weight, args[17], size, epsilon)
            values = kept
        if sink != "float":
            _encode(args, sink, first, values)

    return activations


def norm_add(args: list[int], chunks: range) -> None:
    """OUT += norm(X): the residual of families that normalize after attention."""
    end, x, x_stride, _, _, out, stride, width, size, weight, epsilon = args[:11]
    first, count = tokens_of(chunks, ACTIVATION_TOKENS, integer(end))
    values = floats(x + first * x_stride, count, width, x_stride)
    kept = floats(out + first * stride, count, width, stride)
    kept += normalized(values, weight, size, epsilon)


def softcap(args: list[int], chunks: range) -> None:
    """x = cap * tanh(x / cap); a chunk is one of 64 pieces of an output row."""
    _, x, stride, _, _, _, _, width, _, _, bits = args[:11]
    piece, cap = (width // 16 + PIECES - 1) // PIECES * 16, bits_float(bits)
    for row in range(chunks.start // PIECES, -(-chunks.stop // PIECES)):
        begin = max(chunks.start - PIECES * row, 0) * piece
        end = min((chunks.stop - PIECES * row) * piece, width)
        values = view(x + row * stride + 4 * begin, (max(end - begin, 0),), "<f4")
        values[:] = cap * np.tanh(values / cap)


def normalized(x: np.ndarray, weight: int, size: int, epsilon: int) -> np.ndarray:
    """x / sqrt(mean(x**2) + epsilon) * weight over the last axis, padding included."""
    squares = np.square(x).sum(axis=-1, keepdims=True)
    scale = ONE / np.sqrt(squares / np.float32(size) + bits_float(epsilon))
    result: np.ndarray = x * scale * view(weight, x.shape[-1:], "<f4")
    return result


def _centered(x: np.ndarray, weight: int, bias: int, size: int, epsilon: int) -> np.ndarray:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis."""
    own = x[:, :size]
    mean, variance = own.mean(axis=1, keepdims=True), own.var(axis=1, keepdims=True)
    scale = ONE / np.sqrt(variance + bits_float(epsilon))
    width = x.shape[1:]
    result: np.ndarray = (x - mean) * scale * view(weight, width, "<f4") + view(bias, width, "<f4")
    return result


def _exactgelu(x: np.ndarray) -> np.ndarray:
    """x P(Z < x), as kernels/activations.py has it."""
    size = np.minimum(np.abs(x), np.float32(LIMIT))
    t = size * np.float32(2 / LIMIT) - ONE
    tail = np.full_like(t, TAIL[0])
    for coefficient in TAIL[1:]:
        tail = tail * t + np.float32(coefficient)
    result: np.ndarray = _relu(x) - size * tail
    return result


def _relu(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.maximum(x, np.float32(0))
    return result


def _silu(gate: np.ndarray) -> np.ndarray:
    result: np.ndarray = gate / (ONE + np.exp(-gate))
    return result


def _gelu(gate: np.ndarray) -> np.ndarray:
    """The tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3)))."""
    cubic = gate * gate * gate * np.float32(0.044715)
    inner = np.float32(0.7978845608028654) * (gate + cubic)
    result: np.ndarray = HALF * gate * (ONE + np.tanh(inner))
    return result


def _relu2(gate: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.square(_relu(gate))
    return result


def _encode(args: list[int], sink: str, first: int, values: np.ndarray) -> None:
    """int8 codes, and a scale and a start (or moment) a group of columns."""
    codes, codes_stride, scales, starts, stride, zero, _, given = args[11:19]
    count, width = values.shape
    group = {"row": width, "row256": 256}.get(sink, 32)
    groups = np.pad(values, ((0, 0), (0, -width % group))).reshape(count, -1, group)
    q, scale = _rounded(groups, sink.startswith("row"), bits_float(given))
    part = 16 if sink == "group16" else group
    sums = q.reshape(count, -1, part).sum(axis=2, dtype=np.int32)
    kept = view(codes + first * codes_stride, (count, width), "i1", (codes_stride,))
    kept[:] = q.reshape(count, -1)[:, :width]
    shape, outer = groups.shape[:2], (stride,)
    view(scales + first * stride, shape, "<f4", outer)[:] = scale[:, :, 0]
    if sink == "moment" or (sink == "group16" and zero == 0):
        moments = sums.reshape(*shape, -1).astype("<f4") * scale
        view(starts + first * stride, sums.shape, "<f4", outer)[:] = moments.reshape(sums.shape)
    else:
        view(starts + first * stride, sums.shape, "<i4", outer)[:] = -zero * sums


def _rounded(x: np.ndarray, by_row: bool, given: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """int8 codes of x [tokens, groups, width], and the scale of every group.

    That is `given`, or max|x| / 127 of a token if that is negative or it is wanted so.
    """
    axis = (1, 2) if by_row or given < 0 else 2
    largest = np.abs(x).max(axis=axis, keepdims=True)
    inverse = np.where(largest > 0, np.float32(127) / largest, np.float32(0))
    scale = largest / np.float32(127)
    if given > 0:
        scale, inverse = np.full_like(scale, given), np.full_like(inverse, ONE / given)
    codes = np.rint((x * inverse).clip(-127, 127)).astype(np.int8)
    return codes, np.broadcast_to(scale, (*x.shape[:2], 1))


_GATES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": _silu,
    "gelu": _gelu,
    "relu2": _relu2,
    "times": lambda x: x,
}
_ALONE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exactgelu": _exactgelu,
    "tanhgelu": _gelu,
    "relu": _relu,
}
