"""The grid of a constant: what DequantizeLinear says of its codes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """w = scale (code - zero).

    bits    4 or 8
    lowest  code that there is: -8 or -128 of signed ones, else 0
    scales  float32: of all, [1]; of an axis, [n]; of blocks of an axis, as many axes as the constant
    zeros   int16, likewise
    block   elements that share a scale along the axis of blocks; 0 without blocks
    """

    bits: int
    lowest: int
    scales: np.ndarray
    zeros: np.ndarray
    block: int = 0


def dequantized(
    codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None, axis: int, block: int = 0
) -> np.ndarray:
    """Shaped as the codes, of the type of the scales: DequantizeLinear as ONNX defines it."""
    scale = spread(scales.astype(np.float32), codes.shape, axis, block)
    values = codes if codes.dtype.kind == "f" else codes.astype(np.int64)
    if zeros is not None:
        values = values - spread(zeros.astype(values.dtype), codes.shape, axis, block)
    product: np.ndarray = values.astype(np.float32) * scale
    return product.astype(scales.dtype)


def fits(
    codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None, axis: int, block: int = 0
) -> bool:
    """Whether there is a scale (and zero point) for every code, and none too many."""
    if scales.dtype.kind != "f" or (zeros is not None and zeros.size != scales.size):
        return False
    if scales.size == 1 and not block:
        return True
    if not -codes.ndim <= axis < codes.ndim or block < 0:
        return False
    if not block:
        return bool(scales.size == codes.shape[axis])
    wanted = list(codes.shape)
    wanted[axis] = -(-codes.shape[axis] // block)
    return list(scales.shape) == wanted and (zeros is None or zeros.shape == scales.shape)


def grid_of(
    codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None, block: int = 0
) -> Grid | None:
    """None of codes wider than a byte, as biases have."""
    if codes.dtype not in (np.int8, np.uint8) or codes.ndim < 2:
        return None
    signed = codes.dtype == np.int8
    narrow = bool(block) and codes.size > 0 and codes.max() < (8 if signed else 16)
    narrow = narrow and (not signed or codes.min() >= -8)
    bits = 4 if narrow else 8
    scales = scales.astype(np.float32)
    zeros = np.zeros(scales.shape, np.int16) if zeros is None else zeros.astype(np.int16)
    if not block:
        scales, zeros = scales.reshape(-1), np.broadcast_to(zeros.reshape(-1), scales.size)
    return Grid(bits, -(2 ** (bits - 1)) if signed else 0, scales, zeros, block)


def spread(values: np.ndarray, shape: tuple[int, ...], axis: int, block: int) -> np.ndarray:
    """One for all, or for each place along an axis, or for each block: broadcastable to `shape`."""
    if block:
        at = [slice(None)] * len(shape)
        at[axis] = slice(0, shape[axis])
        blocks: np.ndarray = np.repeat(values, block, axis=axis)[tuple(at)]
        return blocks
    if values.size == 1:
        return values.reshape(())
    form = [1] * len(shape)
    form[axis] = -1
    return values.reshape(form)
