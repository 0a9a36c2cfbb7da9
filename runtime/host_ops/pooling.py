"""What a window holds as one number: largest, mean, norm."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .reductions import extreme, mean
from .registry import op
from .windows import Windows, windows


@op("MaxPool", counts_outputs=True)
def max_pool(
    x: np.ndarray,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    storage_order: int = 0,
    outputs: int = 1,
) -> tuple[np.ndarray, ...]:
    """And, if asked for, where each was found in x as one long row (`storage_order` 1: columns)."""
    over = windows(x.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    padded = over.padded(x, extreme(x, largest=False))
    best: np.ndarray | None = None
    found: Any = None
    for tap, seen in over.taps(padded):
        if outputs > 1:
            place = _place(over, tap, x.shape[2:], storage_order)
            found = place if best is None else np.where(seen > best, place, found)
        best = seen if best is None else np.maximum(best, seen)
    assert best is not None  # a kernel has at least one tap
    if outputs == 1:
        return (np.ascontiguousarray(best),)
    planes = np.arange(len(x) * x.shape[1], dtype=np.int64) * int(np.prod(x.shape[2:]))
    starts = planes.reshape(*x.shape[:2], *(1,) * len(over.sizes))
    return np.ascontiguousarray(best), starts + np.broadcast_to(found, best.shape)


def _place(
    over: Windows, tap: tuple[int, ...], shape: tuple[int, ...], storage_order: int
) -> np.ndarray:
    """Where in a plane of this shape each window's tap stands."""
    whole = np.zeros(over.sizes, np.int64)
    step = 1
    axes = range(len(shape)) if storage_order else range(len(shape) - 1, -1, -1)
    for axis in axes:
        places = np.arange(over.sizes[axis]) * over.strides[axis]
        places += tap[axis] * over.dilations[axis] - over.begins[axis]
        whole += step * places.reshape(-1, *(1,) * (len(shape) - 1 - axis))
        step *= shape[axis]
    return whole


def _summed(x: np.ndarray, over: Windows) -> np.ndarray:
    total: Any = 0
    for _, seen in over.taps(over.padded(x, 0)):
        total = total + seen
    return total


@op("AveragePool")
def average_pool(
    x: np.ndarray,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
) -> np.ndarray:
    """`count_include_pad`: the zeros around are elements like others, those of `ceil_mode` not."""
    over = windows(x.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    there = np.ones(x.shape[2:], x.dtype)
    if count_include_pad:
        around = list(zip(over.begins, over.ends, strict=True))
        there = np.pad(there, around, constant_values=1)
        counted = Windows(
            over.kernel, over.strides, over.dilations, *((0,) * len(around),) * 2, over.sizes
        )
        return _summed(x, over) / _summed(there, counted)
    return _summed(x, over) / _summed(there, over)


@op("LpPool")
def lp_pool(
    x: np.ndarray,
    *,
    kernel_shape: Sequence[int],
    p: int = 2,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> np.ndarray:
    over = windows(x.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    return _summed(np.abs(x) ** p, over) ** (1 / p)


def _axes(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


@op("GlobalAveragePool")
def global_average_pool(x: np.ndarray) -> np.ndarray:
    return mean(x, _axes(x), keepdims=True)


@op("GlobalMaxPool")
def global_max_pool(x: np.ndarray) -> np.ndarray:
    return x.max(axis=_axes(x), keepdims=True, initial=extreme(x, largest=False))


@op("GlobalLpPool")
def global_lp_pool(x: np.ndarray, *, p: int = 2) -> np.ndarray:
    return (np.abs(x) ** p).sum(axis=_axes(x), keepdims=True) ** (1 / p)


@op("MaxUnpool", shaped_by=(2,))
def max_unpool(
    x: np.ndarray,
    indices: np.ndarray,
    output_shape: np.ndarray | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> np.ndarray:
    """Elements back where MaxPool found them, in the smallest image that holds them."""
    axes = len(kernel_shape)
    steps, around = strides or (1,) * axes, pads or (0,) * (2 * axes)
    image = [
        (n - 1) * steps[i] + kernel_shape[i] - around[i] - around[axes + i]
        for i, n in enumerate(x.shape[2:])
    ]
    y = np.zeros((*x.shape[:2], *image), x.dtype)
    y.ravel()[indices.ravel()] = x.ravel()
    if output_shape is None:
        return y
    wanted = np.zeros([int(n) for n in output_shape], x.dtype)
    wanted[tuple(slice(n) for n in y.shape)] = y
    return wanted
