"""Several elements into one, along axes: sums, extremes, their places, and running sums."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .registry import op

Axes = tuple[int, ...] | None
Reduction = Callable[[np.ndarray, Any, bool], Any]


def _axes(axes: np.ndarray | None, nothing_if_empty: int) -> Axes:
    """None: all axes."""
    if axes is None or not axes.size:
        return () if nothing_if_empty else None
    return tuple(int(axis) for axis in axes.ravel())


def _sum(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def mean(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    """0 of nothing, about which NumPy would warn."""
    sums = _sum(x, axes, keepdims)
    return sums / max(1, x.size // max(1, sums.size))


def extreme(x: np.ndarray, largest: bool) -> Any:
    """The number that changes no minimum (`largest`) or maximum."""
    if x.dtype.kind == "b":
        return largest
    if x.dtype.kind == "f":
        return np.inf if largest else -np.inf
    return np.iinfo(x.dtype).max if largest else np.iinfo(x.dtype).min


def _max(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    return np.max(x, axis=axes, keepdims=keepdims, initial=extreme(x, largest=False))


def _min(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    return np.min(x, axis=axes, keepdims=keepdims, initial=extreme(x, largest=True))


def _prod(x: np.ndarray, axes: Axes, keepdims: bool) -> Any:
    return np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def _log_sum_exp(x: np.ndarray, axes: Axes, keepdims: bool) -> np.ndarray:
    """Counted from the largest element, so that nothing overflows."""
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(np.float64)
    largest = np.asarray(_max(x, axes, True))
    largest = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    logs = np.log(_sum(np.exp(x - largest), axes, True)) + largest
    return logs if keepdims else logs.reshape(_sum(x, axes, False).shape)


REDUCTIONS: dict[str, Reduction] = {
    "ReduceL1": lambda x, axes, keep: _sum(np.abs(x), axes, keep),
    "ReduceL2": lambda x, axes, keep: np.sqrt(_sum(x * x, axes, keep)),
    "ReduceLogSum": lambda x, axes, keep: np.log(_sum(x, axes, keep)),
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _max,
    "ReduceMean": mean,
    "ReduceMin": _min,
    "ReduceProd": _prod,
    "ReduceSum": _sum,
    "ReduceSumSquare": lambda x, axes, keep: _sum(x * x, axes, keep),
}


def _reduction(reduction: Reduction) -> Callable[..., np.ndarray]:
    def reduced(
        x: np.ndarray,
        axes: np.ndarray | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> np.ndarray:
        result = reduction(x, _axes(axes, noop_with_empty_axes), bool(keepdims))
        return np.asarray(result).astype(x.dtype, copy=False)

    return reduced


for _name, _function in REDUCTIONS.items():
    op(_name, shaped_by=(1,))(_reduction(_function))


def _place(x: np.ndarray, axis: int, keepdims: int, last: int, largest: bool) -> np.ndarray:
    find = np.argmax if largest else np.argmin
    if last:
        found = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=bool(keepdims))
    else:
        found = find(x, axis=axis, keepdims=bool(keepdims))
    return np.asarray(found, np.int64)


@op("ArgMax")
def arg_max(
    x: np.ndarray, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> np.ndarray:
    return _place(x, axis, keepdims, select_last_index, largest=True)


@op("ArgMin")
def arg_min(
    x: np.ndarray, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0
) -> np.ndarray:
    return _place(x, axis, keepdims, select_last_index, largest=False)


def _running(
    accumulate: np.ufunc, x: np.ndarray, axis: int, first: int, exclusive: int, reverse: int
) -> np.ndarray:
    """`exclusive`: without the element itself, from `first` on."""
    x = np.moveaxis(x, axis, 0)
    x = x[::-1] if reverse else x
    if exclusive:
        x = np.concatenate([np.full_like(x[:1], first), x[:-1]])
    run = accumulate.accumulate(x, axis=0, dtype=x.dtype)
    return np.moveaxis(run[::-1] if reverse else run, 0, axis)


@op("CumSum")
def cum_sum(x: np.ndarray, axis: np.ndarray, *, exclusive: int = 0, reverse: int = 0) -> np.ndarray:
    return _running(np.add, x, int(axis.item()), 0, exclusive, reverse)


@op("CumProd")
def cum_prod(
    x: np.ndarray, axis: np.ndarray, *, exclusive: int = 0, reverse: int = 0
) -> np.ndarray:
    return _running(np.multiply, x, int(axis.item()), 1, exclusive, reverse)
