"""The same elements in another shape or order; sizes, and arrays made from sizes."""

import math
from collections.abc import Sequence

import numpy as np

from .registry import op
from .types import held


def ints(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(n) for n in array.ravel())


@op("Reshape", shaped_by=(1,))
def reshape(x: np.ndarray, shape: np.ndarray, *, allowzero: int = 0) -> np.ndarray:
    """0 in `shape` keeps the input's size, unless `allowzero`; -1 is what is left over."""
    sizes = list(ints(shape))
    if not allowzero:
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    if -1 in sizes and not x.size:  # NumPy cannot tell it from nothing
        sizes[sizes.index(-1)] = 0 if all(sizes) else 1
    return x.reshape(sizes)


@op("Transpose")
def transpose(x: np.ndarray, *, perm: Sequence[int] | None = None) -> np.ndarray:
    return x.transpose(perm)


@op("Flatten")
def flatten(x: np.ndarray, *, axis: int = 1) -> np.ndarray:
    rows = math.prod(x.shape[: axis if axis >= 0 else x.ndim + axis])
    return x.reshape(rows, x.size // rows if rows else math.prod(x.shape[axis:]))


@op("Squeeze", shaped_by=(1,))
def squeeze(x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return np.squeeze(x, None if axes is None else ints(axes))


@op("Unsqueeze", shaped_by=(1,))
def unsqueeze(x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return np.expand_dims(x, ints(axes))


@op("Expand", shaped_by=(1,))
def expand(x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Either may have the larger sizes."""
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, ints(shape)))


@op("Tile", shaped_by=(1,))
def tile(x: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    return np.tile(x, ints(repeats))


@op("Concat")
def concat(*arrays: np.ndarray, axis: int) -> np.ndarray:
    return np.concatenate(arrays, axis)


def pieces(size: int, count: int) -> list[int]:
    """`size` cut into `count` equal pieces, the last one smaller if it must be."""
    largest = -(-size // count)
    return [max(0, min(largest, size - start * largest)) for start in range(count)]


@op("Split", shaped_by=(1,), counts_outputs=True)
def split(
    x: np.ndarray,
    sizes: np.ndarray | None = None,
    axis: int = 0,
    num_outputs: int | None = None,
    *,
    outputs: int,
) -> tuple[np.ndarray, ...]:
    if num_outputs is not None and num_outputs != outputs:
        raise ValueError(f"{num_outputs} pieces, {outputs} outputs")
    cut = pieces(x.shape[axis], outputs) if sizes is None else ints(sizes)
    if sum(cut) != x.shape[axis]:
        raise ValueError(f"pieces of {cut} make no axis of {x.shape[axis]}")
    return tuple(np.split(x, np.cumsum(cut)[:-1], axis))


@op("Shape")
def shape_of(x: np.ndarray, *, start: int = 0, end: int | None = None) -> np.ndarray:
    return np.array(x.shape[start:end], np.int64)


@op("Size")
def size_of(x: np.ndarray) -> np.ndarray:
    return np.array(x.size, np.int64)


@op("Slice", shaped_by=(1, 2, 3, 4))
def slice_(
    x: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    axes: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> np.ndarray:
    """Starts, ends and steps as in Python's slices."""
    where = range(len(starts)) if axes is None else ints(axes)
    by = [1] * len(starts) if steps is None else ints(steps)
    cut = [slice(None)] * x.ndim
    for axis, start, end, step in zip(where, ints(starts), ints(ends), by, strict=True):
        cut[axis] = slice(start, end, step)
    return x[tuple(cut)]


@op("Pad", shaped_by=(1, 3))
def pad(
    x: np.ndarray,
    pads: np.ndarray,
    value: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    *,
    mode: str = "constant",
) -> np.ndarray:
    """`pads`: before each axis, then after each; a negative one cuts off."""
    where = tuple(range(x.ndim)) if axes is None else ints(axes)
    before, after = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(where):
        before[axis], after[axis] = int(pads[i]), int(pads[len(where) + i])
    cut = [
        slice(max(0, -b), n - max(0, -a)) for b, a, n in zip(before, after, x.shape, strict=True)
    ]
    widths = [(max(0, b), max(0, a)) for b, a in zip(before, after, strict=True)]
    if mode != "constant":
        return np.pad(x[tuple(cut)], widths, mode=mode)  # type: ignore[call-overload]
    fill = np.zeros((), x.dtype) if value is None else value.reshape(())
    return np.pad(x[tuple(cut)], widths, constant_values=fill.item())


@op("DepthToSpace")
def depth_to_space(x: np.ndarray, *, blocksize: int, mode: str = "DCR") -> np.ndarray:
    """[N, C b b, H, W] -> [N, C, H b, W b]; the channels are depth, column, row or CRD."""
    n, c, h, w = x.shape
    b, depth = blocksize, c // blocksize**2
    if mode == "DCR":
        blocks = x.reshape(n, b, b, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = x.reshape(n, depth, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, depth, h * b, w * b)


@op("SpaceToDepth")
def space_to_depth(x: np.ndarray, *, blocksize: int, mode: str = "DCR") -> np.ndarray:
    """[N, C, H, W] -> [N, b b C, H/b, W/b], the way back."""
    n, c, h, w = x.shape
    b = blocksize
    split = x.reshape(n, c, h // b, b, w // b, b)
    blocks = split.transpose((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return blocks.reshape(n, b * b * c, h // b, w // b)


@op("Trilu")
def trilu(x: np.ndarray, k: np.ndarray | None = None, *, upper: int = 1) -> np.ndarray:
    diagonal = 0 if k is None else int(k.item())
    return np.triu(x, diagonal) if upper else np.tril(x, diagonal)


@op("EyeLike")
def eye_like(x: np.ndarray, *, dtype: str | None = None, k: int = 0) -> np.ndarray:
    rows, columns = x.shape
    return np.eye(rows, columns, k=k, dtype=held(dtype) if dtype else x.dtype)


@op("ConstantOfShape", shaped_by=(0,))
def constant_of_shape(shape: np.ndarray, *, value: np.ndarray | None = None) -> np.ndarray:
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(ints(shape), fill.item(), fill.dtype)


@op("Range", shaped_by=(0, 1, 2))
def range_(start: np.ndarray, limit: np.ndarray, delta: np.ndarray) -> np.ndarray:
    first, last, step = start.item(), limit.item(), delta.item()
    count = max(0, math.ceil((last - first) / step))
    return (first + np.arange(count) * step).astype(start.dtype)


@op("CenterCropPad", shaped_by=(1,))
def center_crop_pad(
    x: np.ndarray, shape: np.ndarray, *, axes: Sequence[int] | None = None
) -> np.ndarray:
    """Cut or filled with zeros evenly at both ends."""
    for axis, size in zip(range(x.ndim) if axes is None else axes, ints(shape), strict=True):
        there = x.shape[axis]
        if size < there:
            start = (there - size) // 2
            x = np.take(x, np.arange(start, start + size), axis)
        else:
            widths = [(0, 0)] * x.ndim
            widths[axis] = ((size - there) // 2, (size - there + 1) // 2)
            x = np.pad(x, widths)
    return x


@op("ReverseSequence")
def reverse_sequence(
    x: np.ndarray, lengths: np.ndarray, *, batch_axis: int = 1, time_axis: int = 0
) -> np.ndarray:
    """The first `lengths[i]` steps of each sequence turned round, the rest as it is."""
    steps = np.moveaxis(x, (batch_axis, time_axis), (0, 1))
    turned = steps.copy()
    for i, length in enumerate(ints(lengths)):
        turned[i, :length] = steps[i, :length][::-1]
    return np.moveaxis(turned, (0, 1), (batch_axis, time_axis))
