"""Convolutions over any number of axes, channels first: a matrix product for each tap."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .registry import op
from .windows import Windows, last, span, windows


def convolve(x: np.ndarray, w: np.ndarray, over: Windows, group: int) -> np.ndarray:
    """[N, M, *sizes] of x [N, C, *axes], padded with zeros, and w [M, C / group, *kernel]."""
    if x.dtype == np.float16:  # is summed in float32
        return convolve(x.astype(np.float32), w.astype(np.float32), over, group).astype(x.dtype)
    n, m = len(x), len(w)
    padded = over.padded(x, 0)
    if group == x.shape[1] == m:  # each channel alone: no products of matrices
        y: Any = np.zeros((n, m, *over.sizes), np.result_type(x, w))
        for tap, seen in over.taps(padded):
            y += seen * w[:, 0][last(tap)].reshape(m, *(1,) * len(tap))
        return y
    by_group = w.reshape(group, m // group, *w.shape[1:])
    y = np.zeros((n, group, m // group, int(np.prod(over.sizes))), np.result_type(x, w))
    for tap, seen in over.taps(padded):
        columns = seen.reshape(n, group, w.shape[1], -1)
        y += by_group[last(tap)] @ columns
    return y.reshape(n, m, *over.sizes)


def by_channel(values: np.ndarray, ndim: int) -> np.ndarray:
    """[C] so that it broadcasts over [N, C, *axes]."""
    return values.reshape(-1, *(1,) * (ndim - 2))


@op("Conv")
def conv(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
) -> np.ndarray:
    over = windows(x.shape[2:], w.shape[2:], strides, pads, dilations, auto_pad)
    y = convolve(x, w, over, group)
    return y if bias is None else y + by_channel(bias, y.ndim)


@op("ConvTranspose")
def conv_transpose(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
) -> np.ndarray:
    """Each element of x [N, C, *axes] adds its multiple of w [C, M / group, *kernel] to y."""
    axes, kernel = x.ndim - 2, w.shape[2:]
    strides, dilations = (tuple(given or (1,) * axes) for given in (strides, dilations))
    extra = tuple(output_padding or (0,) * axes)
    full = tuple(
        (n - 1) * s + span(k, d) + more
        for n, s, k, d, more in zip(x.shape[2:], strides, kernel, dilations, extra, strict=True)
    )
    if output_shape is None and auto_pad.startswith("SAME"):
        output_shape = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    begins, sizes = _cut(full, pads, output_shape, auto_pad)
    full = tuple(max(n, b + wanted) for n, b, wanted in zip(full, begins, sizes, strict=True))
    none = (0,) * axes
    y = _spread(x, w, Windows(kernel, strides, dilations, none, none, x.shape[2:]), full, group)
    kept = tuple(slice(b, b + n) for b, n in zip(begins, sizes, strict=True))
    y = y[last(kept)]
    return y if bias is None else y + by_channel(bias, y.ndim)


def _cut(
    full: Sequence[int],
    pads: Sequence[int] | None,
    output_shape: Sequence[int] | None,
    auto_pad: str,
) -> tuple[list[int], list[int]]:
    """Where on each axis the output begins, and its size."""
    axes = len(full)
    if output_shape is None:
        pads = pads or (0,) * (2 * axes)
        return list(pads[:axes]), [n - pads[i] - pads[axes + i] for i, n in enumerate(full)]
    totals = [n - wanted for n, wanted in zip(full, output_shape[-axes:], strict=True)]
    if auto_pad == "SAME_UPPER":
        begins = [total // 2 for total in totals]
    else:
        begins = [total - total // 2 for total in totals]
    return [max(0, begin) for begin in begins], list(output_shape[-axes:])


def _spread(
    x: np.ndarray, w: np.ndarray, over: Windows, full: Sequence[int], group: int
) -> np.ndarray:
    """[N, M, *full], the sum of what each tap makes of x at the places it stands on."""
    n, c, m = len(x), x.shape[1], w.shape[1]
    y = np.zeros((n, group, m, *full), x.dtype)
    columns = x.reshape(n, group, c // group, -1)
    by_group = w.reshape(group, c // group, *w.shape[1:])
    for tap, seen in over.taps(y):
        seen += (by_group[last(tap)].swapaxes(1, 2) @ columns).reshape(seen.shape)
    return y.reshape(n, group * m, *full)


@op("CausalConvWithState")
def causal_conv_with_state(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None = None,
    past: np.ndarray | None = None,
    *,
    activation: str = "none",
) -> tuple[np.ndarray, np.ndarray]:
    """Each channel alone, over the past; gives what the next call takes for `past` as well."""
    behind = w.shape[2] - 1
    past = np.zeros((*x.shape[:2], behind), x.dtype) if past is None else past
    whole = np.concatenate([past, x], axis=2)
    y = convolve(whole, w, windows(whole.shape[2:], w.shape[2:]), x.shape[1])
    y = y if bias is None else y + by_channel(bias, 3)
    if activation in ("silu", "swish"):
        y = (y / (1 + np.exp(-y.astype(np.float32)))).astype(x.dtype)
    return y, whole[:, :, whole.shape[2] - behind :]


@op("Col2Im", shaped_by=(1, 2))
def col2im(
    x: np.ndarray,
    image_shape: np.ndarray,
    block_shape: np.ndarray,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> np.ndarray:
    """Columns [N, C x block, places] added up where they came from: [N, C, *image]."""
    image, block = tuple(map(int, image_shape)), tuple(map(int, block_shape))
    over = windows(image, block, strides, pads, dilations)
    channels = x.shape[1] // int(np.prod(block))
    columns = x.reshape(len(x), channels, *block, *over.sizes)
    y = over.padded(np.zeros((len(x), channels, *image), x.dtype), 0).copy()
    for tap, seen in over.taps(y):
        place: Any = (slice(None), slice(None), *tap)
        seen += columns[place]
    kept = tuple(slice(b, b + n) for b, n in zip(over.begins, image, strict=True))
    return y[last(kept)]


@op("DeformConv")
def deform_conv(
    x: np.ndarray,
    w: np.ndarray,
    offset: np.ndarray,
    bias: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    *,
    group: int = 1,
    offset_group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
) -> np.ndarray:
    """A convolution of two axes whose taps stand off by `offset` [N, groups x taps x 2, H, W].

    arXiv:1703.06211; `mask` (1811.11168) weighs each tap.
    """
    kernel = w.shape[2:]
    over = windows(x.shape[2:], kernel, strides, pads, dilations)
    n, c, taps = len(x), x.shape[1], int(np.prod(kernel))
    moved = offset.reshape(n, offset_group, taps, 2, *over.sizes)
    shares = np.ones((n, offset_group, taps, *over.sizes), x.dtype)
    shares = shares if mask is None else mask.reshape(shares.shape)
    by_offset = x.reshape(n, offset_group, c // offset_group, *x.shape[2:])
    columns = np.empty((n, offset_group, c // offset_group, taps, *over.sizes), x.dtype)
    for i, tap in enumerate(np.ndindex(*kernel)):
        places = [
            np.arange(size).reshape(-1, *(1,) * (1 - axis)) * over.strides[axis]
            + (tap[axis] * over.dilations[axis] - over.begins[axis])
            + moved[:, :, i, axis]
            for axis, size in enumerate(over.sizes)
        ]
        columns[:, :, :, i] = bilinear(by_offset, *places) * shares[:, :, None, i]
    by_group = columns.reshape(n, group, c // group * taps, -1)
    y = (w.reshape(group, -1, c // group * taps) @ by_group).reshape(n, len(w), *over.sizes)
    return y if bias is None else y + by_channel(bias, 4)


def bilinear(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[N, G, C, H', W'] of x [N, G, C, H, W] between pixels, at [N, G, H', W']; 0 outside."""
    top, left = np.floor(rows), np.floor(columns)
    n, g = np.ogrid[: x.shape[0], : x.shape[1]]
    whole: Any = 0
    for i, j in np.ndindex(2, 2):
        y_share = rows - top if i else 1 - (rows - top)
        x_share = columns - left if j else 1 - (columns - left)
        y, z = (top + i).astype(np.int64), (left + j).astype(np.int64)
        inside = (y >= 0) & (y < x.shape[3]) & (z >= 0) & (z < x.shape[4])
        y, z = y.clip(0, x.shape[3] - 1), z.clip(0, x.shape[4] - 1)
        pixels = np.moveaxis(x[n[..., None, None], g[..., None, None], :, y, z], -1, 2)
        whole = whole + pixels * (y_share * x_share * inside)[:, :, None]
    return whole.astype(x.dtype)
