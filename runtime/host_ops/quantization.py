"""Numbers on integer grids and small floats, and products of integers.

Products of whole numbers are summed in float64, which is exact up to 2**53 and fast.
"""

from typing import Any

import numpy as np

from .convolution import by_channel, convolve
from .registry import op
from .types import SMALL_FLOATS, SMALL_INTEGERS, cast, held
from .windows import windows


def limits(name: str) -> tuple[int, int]:
    """The smallest and the largest number of an integer type."""
    if name in SMALL_INTEGERS:
        bits = SMALL_INTEGERS[name]
        return (
            (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
    info = np.iinfo(name)
    return int(info.min), int(info.max)


def _spread(values: np.ndarray, shape: tuple[int, ...], axis: int, block: int) -> np.ndarray:
    """Scales or zero points so that they broadcast: one, one a place of the axis, or one a block."""
    if values.size == 1:
        return values.reshape(())
    if values.ndim == 1:
        along = [1] * len(shape)
        along[axis] = len(values)
        return values.reshape(along)
    block = block or -(-shape[axis] // values.shape[axis])
    block = min(block, shape[axis])  # a larger one has no more in it, but would take its memory
    return np.take(np.repeat(values, block, axis), np.arange(shape[axis]), axis)


@op("QuantizeLinear")
def quantize_linear(
    x: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: str | None = None,
    precision: str | None = None,
    saturate: int = 1,
) -> np.ndarray:
    """round(x / scale) + zero, of the type `output_dtype`, else of the zero point, else uint8."""
    name = output_dtype or ("uint8" if zero is None else str(zero.dtype))
    divided = held(precision) if precision else scale.dtype
    scale = _spread(scale, x.shape, axis, block_size).astype(divided)
    y = x.astype(divided) / scale
    if name in SMALL_FLOATS:
        return cast(y, to=name, saturate=saturate)
    offset = 0 if zero is None else _spread(zero, x.shape, axis, block_size).astype(np.float64)
    return (np.rint(y) + offset).clip(*limits(name)).astype(held(name))


@op("DequantizeLinear")
def dequantize_linear(
    x: np.ndarray,
    scale: np.ndarray,
    zero: np.ndarray | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: str | None = None,
) -> np.ndarray:
    """(x - zero) scale."""
    whole: Any = x.astype(np.int64) if x.dtype.kind in "iu" else x
    if zero is not None:
        whole = whole - _spread(zero, x.shape, axis, block_size).astype(whole.dtype)
    dtype = held(output_dtype) if output_dtype else scale.dtype
    y = whole.astype(dtype) * _spread(scale, x.shape, axis, block_size).astype(dtype)
    return cast(y, to=output_dtype) if output_dtype in SMALL_FLOATS else y


@op("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 over the range of x with zero in it; its scale and zero point."""
    low, high = min(0, x.min(initial=0)), max(0, x.max(initial=0))
    scale = np.float32(high - low) / np.float32(255) if high > low else np.float32(1)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    y = np.clip(np.rint(x / scale) + zero, 0, 255).astype(np.uint8)
    return y, np.array(scale), np.array(zero, np.uint8)


def _centered(x: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
    """float64 x - zero."""
    wide = x.astype(np.float64)
    return wide if zero is None else wide - zero


def _by_row(values: np.ndarray) -> np.ndarray:
    """One, or one a row of the left matrix; of several matrices there are columns of them."""
    return values[:, None] if values.ndim == 1 else values


def _requantized(y: np.ndarray, factor: np.ndarray, zero: np.ndarray) -> np.ndarray:
    low, high = limits(str(zero.dtype))
    return (np.rint(y * factor) + zero.astype(np.float64)).clip(low, high).astype(zero.dtype)


@op("MatMulInteger")
def matmul_integer(
    a: np.ndarray,
    b: np.ndarray,
    a_zero: np.ndarray | None = None,
    b_zero: np.ndarray | None = None,
) -> np.ndarray:
    left = _centered(a, None if a_zero is None else _by_row(a_zero))
    return (left @ _centered(b, b_zero)).astype(np.int32)


@op("QLinearMatMul")
def qlinear_matmul(
    a: np.ndarray,
    a_scale: np.ndarray,
    a_zero: np.ndarray,
    b: np.ndarray,
    b_scale: np.ndarray,
    b_zero: np.ndarray,
    y_scale: np.ndarray,
    y_zero: np.ndarray,
) -> np.ndarray:
    """Scales and zero points are one, one a row of a, or one a column of b."""
    y = _centered(a, _by_row(a_zero)) @ _centered(b, b_zero)
    return _requantized(y, _by_row(a_scale) * b_scale / _by_row(y_scale), _by_row(y_zero))


@op("ConvInteger")
def conv_integer(
    x: np.ndarray,
    w: np.ndarray,
    x_zero: np.ndarray | None = None,
    w_zero: np.ndarray | None = None,
    *,
    group: int = 1,
    kernel_shape: Any = None,
    **placement: Any,
) -> np.ndarray:
    over = windows(x.shape[2:], w.shape[2:], **placement)
    rows = None if w_zero is None else w_zero.reshape(-1, *(1,) * (w.ndim - 1))
    return convolve(_centered(x, x_zero), _centered(w, rows), over, group).astype(np.int32)


@op("QLinearConv")
def qlinear_conv(
    x: np.ndarray,
    x_scale: np.ndarray,
    x_zero: np.ndarray,
    w: np.ndarray,
    w_scale: np.ndarray,
    w_zero: np.ndarray,
    y_scale: np.ndarray,
    y_zero: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    group: int = 1,
    kernel_shape: Any = None,
    **placement: Any,
) -> np.ndarray:
    """`bias` counts in steps of x_scale w_scale; w_scale and w_zero are one, or one a channel."""
    over = windows(x.shape[2:], w.shape[2:], **placement)
    rows = w_zero.reshape(-1, *(1,) * (w.ndim - 1))
    y = convolve(_centered(x, x_zero), _centered(w, rows), over, group)
    y = y if bias is None else y + by_channel(bias, y.ndim)
    return _requantized(y, by_channel(x_scale * w_scale / y_scale, y.ndim), y_zero)
