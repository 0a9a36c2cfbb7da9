"""Elements by their places: gather, scatter, select, sort."""

import numpy as np

from .registry import op
from .shapes import ints

COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


@op("Gather")
def gather(x: np.ndarray, indices: np.ndarray, *, axis: int = 0) -> np.ndarray:
    return np.take(x, indices, axis)


def _along(indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """An index into every axis: `indices` into one, an element's own place into the others."""
    places: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    return tuple(places)


@op("GatherElements")
def gather_elements(x: np.ndarray, indices: np.ndarray, *, axis: int = 0) -> np.ndarray:
    return x[_along(indices, axis)]


def _batched(indices: np.ndarray, batch_dims: int) -> tuple[np.ndarray, ...]:
    """The last axis of `indices` as an index into x, after those of the batch."""
    whole = np.indices(indices.shape[:-1], sparse=True)[:batch_dims]
    return (*whole, *np.moveaxis(indices, -1, 0))


@op("GatherND")
def gather_nd(x: np.ndarray, indices: np.ndarray, *, batch_dims: int = 0) -> np.ndarray:
    return x[_batched(indices, batch_dims)]


def _put(
    x: np.ndarray, places: tuple[np.ndarray, ...], updates: np.ndarray, reduction: str
) -> np.ndarray:
    result = x.copy()
    if reduction == "none":
        result[places] = updates
    else:
        COMBINE[reduction].at(result, places, updates)
    return result


@op("ScatterElements")
def scatter_elements(
    x: np.ndarray,
    indices: np.ndarray,
    updates: np.ndarray,
    *,
    axis: int = 0,
    reduction: str = "none",
) -> np.ndarray:
    return _put(x, _along(indices, axis), updates, reduction)


@op("ScatterND")
def scatter_nd(
    x: np.ndarray, indices: np.ndarray, updates: np.ndarray, *, reduction: str = "none"
) -> np.ndarray:
    return _put(x, _batched(indices, 0), updates, reduction)


@op("TensorScatter")
def tensor_scatter(
    cache: np.ndarray,
    update: np.ndarray,
    starts: np.ndarray | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> np.ndarray:
    """Steps written into a cache from a place of its own for each sequence of the batch."""
    result = cache.copy()
    steps = np.arange(update.shape[axis])
    for i, start in enumerate([0] * len(cache) if starts is None else ints(starts)):
        places = (start + steps) % cache.shape[axis] if mode == "circular" else start + steps
        np.moveaxis(result[i : i + 1], axis, 0)[places] = np.moveaxis(update[i : i + 1], axis, 0)
    return result


@op("OneHot", shaped_by=(1,))
def one_hot(
    indices: np.ndarray, depth: np.ndarray, values: np.ndarray, *, axis: int = -1
) -> np.ndarray:
    """`values`: for all places but one, and for that one; a negative index counts from the end."""
    count = int(depth.item())
    hot = np.expand_dims(np.mod(indices, count), axis)
    shape = [1] * hot.ndim
    shape[axis] = count
    inside = np.expand_dims((indices >= -count) & (indices < count), axis)
    return np.where((np.arange(count).reshape(shape) == hot) & inside, values[1], values[0])


@op("TopK", shaped_by=(1,))
def top_k(
    x: np.ndarray, k: np.ndarray, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """In order, and the lower index first among equals (which `sorted` 0 does not ask for)."""
    if largest:
        order = x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable")
        order = np.flip(order, axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    places = np.take(order, np.arange(int(k.item())), axis)
    return np.take_along_axis(x, places, axis), places.astype(np.int64)


@op("NonZero", shaped_by=None)
def non_zero(x: np.ndarray) -> np.ndarray:
    return np.array(np.nonzero(np.atleast_1d(x)), np.int64)


@op("Compress", shaped_by=None)
def compress(x: np.ndarray, condition: np.ndarray, *, axis: int | None = None) -> np.ndarray:
    return np.compress(condition, x, axis)


@op("Unique", shaped_by=None)
def unique(x: np.ndarray, *, axis: int | None = None, sorted: int = 1) -> tuple[np.ndarray, ...]:
    """Elements or slices, where each is first, which one each input is, and how often."""
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    if not sorted:
        order = np.argsort(first)
        rank = np.argsort(order)
        values = np.take(values, order, axis or 0)
        first, inverse, counts = first[order], rank[inverse], counts[order]
    return values, *(a.ravel().astype(np.int64) for a in (first, inverse, counts))
