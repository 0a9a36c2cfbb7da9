"""Images of another size: each output is a weighted sum of inputs near it, axis by axis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .registry import op


@dataclass(frozen=True)
class Axis:
    """One axis of a resized array: from `size` to `wanted` elements, nominally `scale` times."""

    size: int
    wanted: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)

    @property
    def is_kept(self) -> bool:
        return self.size == self.wanted and self.scale == 1 and self.roi == (0.0, 1.0)


def coordinates(axis: Axis, mode: str) -> np.ndarray:
    """Where in the input each output lies, float64 [wanted]."""
    i = np.arange(axis.wanted, dtype=np.float64)
    last, width = axis.size - 1, axis.scale * axis.size
    if mode == "align_corners":
        return i * (last / (width - 1) if width != 1 else 0)
    if mode == "asymmetric":
        return i / axis.scale
    if mode == "tf_crop_and_resize":
        begin, end = axis.roi
        if width == 1:
            return np.full(axis.wanted, (begin + end) * last / 2)
        return begin * last + i * (end - begin) * last / (width - 1)
    if mode == "pytorch_half_pixel" and width == 1:
        return np.full(axis.wanted, -0.5)
    centers = (i + 0.5) / axis.scale - 0.5
    if mode == "half_pixel_symmetric":
        centers += axis.size / 2 * (1 - axis.wanted / width)
    return centers


def nearest(x: np.ndarray, mode: str) -> np.ndarray:
    if mode == "round_prefer_floor":
        x = np.ceil(x - 0.5)
    elif mode == "round_prefer_ceil":
        x = np.floor(x + 0.5)
    return (np.ceil(x) if mode == "ceil" else np.floor(x)).astype(np.int64)


def _triangle(d: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(d))


def cubic(d: np.ndarray, a: float) -> np.ndarray:
    """Keys's kernel (IEEE Trans. ASSP 29, 1981)."""
    d = np.abs(d)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


@dataclass(frozen=True)
class Filter:
    """How neighbours are weighed; `antialias` widens it where the image shrinks."""

    mode: str
    a: float
    antialias: bool
    exclude_outside: bool

    def weights(self, x: np.ndarray, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
        """(places, weights), each [wanted, taps]."""
        reach = 1 if self.mode == "linear" else 2
        shrink = min(axis.scale, 1.0) if self.antialias else 1.0
        start = int(np.floor(-reach / shrink)) + 1
        places = np.ceil(x)[:, None] - 1 + np.arange(start, 2 - start)
        d = (places - x[:, None]) * shrink
        weights = _triangle(d) if self.mode == "linear" else cubic(d, self.a)
        if self.exclude_outside:
            weights = np.where((places < 0) | (places >= axis.size), 0, weights)
        if self.exclude_outside or self.antialias:
            weights = weights / weights.sum(axis=1, keepdims=True)
        return places.astype(np.int64), weights


def _along(x: np.ndarray, where: int, axis: Axis, at: np.ndarray, by: Filter) -> np.ndarray:
    places, weights = by.weights(at, axis)
    shape = [1] * x.ndim
    shape[where] = axis.wanted
    y = np.zeros((*x.shape[:where], axis.wanted, *x.shape[where + 1 :]), x.dtype)
    for tap in range(places.shape[1]):
        seen = np.take(x, places[:, tap].clip(0, axis.size - 1), where)
        y += seen * weights[:, tap].reshape(shape).astype(x.dtype)
    return y


def axes_of(
    shape: Sequence[int],
    axes: Sequence[int],
    scales: np.ndarray | None,
    sizes: np.ndarray | None,
    policy: str,
    roi: np.ndarray | None,
) -> list[Axis]:
    """Of `axes`, what the inputs say."""
    there = [shape[axis] for axis in axes]
    if sizes is not None and len(sizes):
        factors = [int(wanted) / n if n else 1.0 for wanted, n in zip(sizes, there, strict=True)]
        wanted = [int(n) for n in sizes]
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            wanted = [int(factor * n + 0.5) for n in there]
    elif scales is not None:
        factors = [float(scale) for scale in scales]
        wanted = [int(scale * n) for scale, n in zip(factors, there, strict=True)]
    else:
        raise ValueError("neither scales nor sizes")
    corners = [(0.0, 1.0)] * len(axes)
    if roi is not None and len(roi):
        corners = list(zip(roi[: len(axes)].tolist(), roi[len(axes) :].tolist(), strict=True))
    return [Axis(*values) for values in zip(there, wanted, factors, corners, strict=True)]


@op("Resize", shaped_by=(2, 3))
def resize(
    x: np.ndarray,
    roi: np.ndarray | None = None,
    scales: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    antialias: int = 0,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    axes: Sequence[int] | None = None,
) -> np.ndarray:
    """Computed in float32 (float64 of float64), whole numbers rounded."""
    where = [axis % x.ndim for axis in (range(x.ndim) if axes is None else axes)]
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    steps = axes_of(x.shape, where, scales, sizes, keep_aspect_ratio_policy, roi if crops else None)
    by = Filter(mode, cubic_coeff_a, bool(antialias), bool(exclude_outside))
    y = x if mode == "nearest" else x.astype(np.result_type(x, np.float32))
    for place, axis in zip(where, steps, strict=True):
        if axis.is_kept:
            continue
        at = coordinates(axis, coordinate_transformation_mode)
        if mode == "nearest":
            y = np.take(y, nearest(at, nearest_mode).clip(0, axis.size - 1), place)
        else:
            y = _along(y, place, axis, at, by)
        if crops:
            outside = ((at < 0) | (at > axis.size - 1)).reshape(-1, *(1,) * (x.ndim - 1 - place))
            y = np.where(outside, y.dtype.type(extrapolation_value), y)
    return y if y.dtype == x.dtype else _fitting(y, x.dtype)


def _fitting(y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind not in "iu":
        return y.astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(y).clip(limits.min, limits.max).astype(dtype)
