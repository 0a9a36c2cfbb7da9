"""Images: sampled at any place, cut out, and boxes around what is on them."""

from collections.abc import Sequence
from itertools import product
from math import ceil, floor
from typing import Any

import numpy as np

from .registry import op
from .resize import cubic


def _reflected(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Turned back at the borders as often as it takes."""
    width = high - low
    if not width:
        return np.full_like(x, low)
    distance = np.abs(x - low) % (2 * width)
    return low + np.where(distance > width, 2 * width - distance, distance)


def _inside(x: np.ndarray, size: int, padding: str, corners: bool) -> np.ndarray:
    """Places that lie within an axis, by clipping or reflection; with "zeros" as they are."""
    if padding == "border":
        return x.clip(0, size - 1)
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if corners else (-0.5, size - 0.5)
        beyond = (x < low) | (x > high)
        return np.where(beyond, _reflected(x, low, high), x)
    return x


def _taps(at: np.ndarray, mode: str) -> list[tuple[np.ndarray, Any]]:
    """(places, weights) on one axis."""
    if mode == "nearest":
        return [(np.rint(at), 1)]
    first = np.floor(at)
    if mode == "linear":
        return [(first, 1 - (at - first)), (first + 1, at - first)]
    return [(first + i, cubic(at - (first + i), -0.75)) for i in (-1, 0, 1, 2)]


def _pixels(x: np.ndarray, places: list[np.ndarray], padding: str, corners: bool) -> np.ndarray:
    """[N, C, *places] of x [N, C, *axes]; 0 outside with "zeros"."""
    n = np.arange(len(x)).reshape(-1, *(1,) * (places[0].ndim - 1))
    index: list[Any] = [n, slice(None)]
    present = np.ones(places[0].shape, bool)
    for place, size in zip(places, x.shape[2:], strict=True):
        whole = _inside(place, size, padding, corners)
        present &= (whole >= 0) & (whole <= size - 1)
        index.append(whole.clip(0, size - 1).astype(np.int64))
    return np.moveaxis(x[tuple(index)], -1, 1) * present[:, None]


@op("GridSample")
def grid_sample(
    x: np.ndarray,
    grid: np.ndarray,
    *,
    mode: str = "linear",
    padding_mode: str = "zeros",
    align_corners: int = 0,
) -> np.ndarray:
    """x [N, C, *axes] at the places of grid [N, *places, axes], from -1 to 1, the last axis first."""
    corners = bool(align_corners)
    taps = []
    for axis, size in enumerate(x.shape[2:]):
        g = grid[..., -1 - axis]
        at = (g + 1) / 2 * (size - 1) if corners else ((g + 1) * size - 1) / 2
        at = np.rint(at) if mode == "nearest" else at
        taps.append(_taps(_inside(at, size, padding_mode, corners), mode))
    y: Any = np.zeros((*x.shape[:2], *grid.shape[1:-1]), np.result_type(x, np.float32))
    for choice in np.ndindex(*map(len, taps)):
        chosen = [taps[axis][i] for axis, i in enumerate(choice)]
        weight: Any = 1
        for _, share in chosen:
            weight = weight * share
        pixels = _pixels(x, [place for place, _ in chosen], padding_mode, corners)
        y += pixels * (weight[:, None] if isinstance(weight, np.ndarray) else weight)
    return y.astype(x.dtype)


@op("AffineGrid", shaped_by=(1,))
def affine_grid(theta: np.ndarray, size: np.ndarray, *, align_corners: int = 0) -> np.ndarray:
    """theta [N, axes, axes + 1] applied to a grid of places from -1 to 1: [N, *places, axes]."""
    axes = []
    for count in (int(n) for n in size[2:]):
        step = 2 / max(1, count - 1) if align_corners else 2 / count
        axes.append(np.arange(count) * step - (1 if align_corners else 1 - step / 2))
    places = np.meshgrid(*axes, indexing="ij")
    points = np.stack([*places[::-1], np.ones(places[0].shape)], axis=-1)
    grid = points.reshape(-1, points.shape[-1]) @ theta.swapaxes(1, 2)
    return grid.reshape(len(theta), *points.shape[:-1], -1).astype(theta.dtype)


def _samples(start: float, size: float, bins: int, ratio: int) -> np.ndarray:
    """Where on an axis the samples of each bin lie, [bins, samples]."""
    width = size / bins
    count = ratio if ratio > 0 else max(1, ceil(width))
    return start + width * (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / count)


def _between(at: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(pixel, next one, share of the next, whether inside)."""
    inside = (at >= -1) & (at <= size)
    at = at.clip(0, size - 1)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), at - low, inside


def _region(x: np.ndarray, rows: np.ndarray, columns: np.ndarray, mode: str) -> np.ndarray:
    """[C, bins, bins] of one image [C, H, W]."""
    top, below, y, y_inside = _between(rows.ravel(), x.shape[1])
    left, right, z, z_inside = _between(columns.ravel(), x.shape[2])
    corners = [
        x[:, r[:, None], c] * (share_y[:, None] * share_z)
        for r, share_y in ((top, 1 - y), (below, y))
        for c, share_z in ((left, 1 - z), (right, z))
    ]
    joined = np.max(corners, axis=0) if mode == "max" else np.sum(corners, axis=0)
    joined = joined * (y_inside[:, None] & z_inside)
    by_bin = joined.reshape(len(x), *rows.shape, *columns.shape)
    return by_bin.max(axis=(2, 4)) if mode == "max" else by_bin.mean(axis=(2, 4))


@op("RoiAlign")
def roi_align(
    x: np.ndarray,
    rois: np.ndarray,
    batch_indices: np.ndarray,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> np.ndarray:
    """[regions, C, height, width]: arXiv:1703.06870; a region is left, top, right, bottom."""
    half = coordinate_transformation_mode == "half_pixel"
    y = np.zeros((len(rois), x.shape[1], output_height, output_width), x.dtype)
    for i, roi in enumerate(rois):
        left, top, right, bottom = roi * spatial_scale - (0.5 if half else 0)
        height, width = bottom - top, right - left
        if not half:
            height, width = max(height, 1.0), max(width, 1.0)
        rows = _samples(top, height, output_height, sampling_ratio)
        columns = _samples(left, width, output_width, sampling_ratio)
        y[i] = _region(x[int(batch_indices[i])], rows, columns, mode)
    return y


@op("MaxRoiPool")
def max_roi_pool(
    x: np.ndarray, rois: np.ndarray, *, pooled_shape: Sequence[int], spatial_scale: float = 1.0
) -> np.ndarray:
    """[regions, C, *pooled]: arXiv:1504.08083; a region is batch, left, top, right, bottom."""
    y = np.zeros((len(rois), x.shape[1], *pooled_shape), x.dtype)
    for i, (batch, *corners) in enumerate(rois):
        left, top, right, bottom = (int(np.floor(c * spatial_scale + 0.5)) for c in corners)
        rows = _bins(top, bottom, pooled_shape[0], x.shape[2])
        columns = _bins(left, right, pooled_shape[1], x.shape[3])
        for (a, row), (b, column) in product(enumerate(rows), enumerate(columns)):
            seen = x[int(batch), :, row, column]
            if seen.size:
                y[i, :, a, b] = seen.max(axis=(1, 2))
    return y


def _bins(first: int, last: int, count: int, size: int) -> list[slice]:
    """A region's pixels from `first` to `last` in so many pieces, which may share their borders."""
    width = max(last - first + 1, 1) / count
    edges = [(floor(i * width), ceil((i + 1) * width)) for i in range(count)]
    return [slice(*np.clip([first + a, first + b], 0, size).tolist()) for a, b in edges]


def _corners(boxes: np.ndarray, center: int) -> np.ndarray:
    """[..., 4] as the lowest y and x, then the highest."""
    if center:
        x, y, w, h = np.moveaxis(boxes, -1, 0)
        return np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=-1)
    low = np.minimum(boxes[..., :2], boxes[..., 2:])
    return np.concatenate([low, np.maximum(boxes[..., :2], boxes[..., 2:])], axis=-1)


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Area of the intersection by that of the union."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0)


def _kept(boxes: np.ndarray, scores: np.ndarray, most: int, iou: float, least: Any) -> list[int]:
    """The best first; of those that overlap one that is kept, none."""
    order = np.argsort(-scores, kind="stable")
    rest = order if least is None else order[scores[order] > least]
    kept: list[int] = []
    while len(rest) and len(kept) < most:
        kept.append(int(rest[0]))
        rest = rest[1:][_overlap(boxes[rest[0]], boxes[rest[1:]]) <= iou]
    return kept


@op("NonMaxSuppression", shaped_by=None)
def non_max_suppression(
    boxes: np.ndarray,
    scores: np.ndarray,
    max_output_boxes_per_class: np.ndarray | None = None,
    iou_threshold: np.ndarray | None = None,
    score_threshold: np.ndarray | None = None,
    *,
    center_point_box: int = 0,
) -> np.ndarray:
    """int64 [kept, 3]: batch, class, box."""
    most = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class.item())
    iou = 0.0 if iou_threshold is None else float(iou_threshold.item())
    least = None if score_threshold is None else score_threshold.item()
    corners = _corners(boxes, center_point_box)
    chosen = [
        (n, c, box)
        for n in range(scores.shape[0])
        for c in range(scores.shape[1])
        for box in _kept(corners[n], scores[n, c], most, iou, least)
    ]
    return np.array(chosen, np.int64).reshape(-1, 3)
