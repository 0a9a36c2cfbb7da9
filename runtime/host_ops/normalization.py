"""Activations brought to mean 0 and variance 1, or to length 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .convolution import by_channel
from .reductions import mean
from .registry import op


def _wide(x: np.ndarray) -> np.ndarray:
    """Statistics of float16 are taken in float32."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


@op("BatchNormalization", counts_outputs=True)
def batch_normalization(
    x: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    running_mean: np.ndarray,
    running_variance: np.ndarray,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    outputs: int = 1,
) -> tuple[np.ndarray, ...]:
    """In training by the batch's own statistics, and with the running ones after it."""
    center, variance = running_mean, running_variance
    if training_mode:
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        center = mean(x, axes, keepdims=False)
        variance = mean((x - by_channel(center, x.ndim)) ** 2, axes, keepdims=False)
    factor = scale / np.sqrt(variance + epsilon)
    y = (x - by_channel(center, x.ndim)) * by_channel(factor, x.ndim) + by_channel(bias, x.ndim)
    if outputs == 1:
        return (y.astype(x.dtype),)
    pairs = ((running_mean, center), (running_variance, variance))
    running = [(old * momentum + new * (1 - momentum)).astype(old.dtype) for old, new in pairs]
    return y.astype(x.dtype), *running


def _standardized(
    x: np.ndarray, axes: tuple[int, ...], epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x by its own mean and variance along axes; its mean; one by its standard deviation."""
    center = mean(x, axes, keepdims=True)
    off = x - center
    inverse = 1 / np.sqrt(mean(off * off, axes, keepdims=True) + epsilon)
    return off * inverse, center, inverse


@op("InstanceNormalization")
def instance_normalization(
    x: np.ndarray, scale: np.ndarray, bias: np.ndarray, *, epsilon: float = 1e-5
) -> np.ndarray:
    """Each channel of each image by itself."""
    y, _, _ = _standardized(_wide(x), tuple(range(2, x.ndim)), epsilon)
    return (y * by_channel(scale, x.ndim) + by_channel(bias, x.ndim)).astype(x.dtype)


@op("GroupNormalization")
def group_normalization(
    x: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: Any = 1,
) -> np.ndarray:
    y, _, _ = _standardized(_wide(x).reshape(len(x), num_groups, -1), (2,), epsilon)
    y = y.reshape(x.shape)
    return (y * by_channel(scale, x.ndim) + by_channel(bias, x.ndim)).astype(x.dtype)


@op("LayerNormalization")
def layer_normalization(
    x: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: Any = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Over all axes from `axis` on; gives the mean and one by the standard deviation as well."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    y, center, inverse = _standardized(_wide(x), axes, epsilon)
    y = y.astype(x.dtype) * scale
    return y if bias is None else y + bias, center, inverse


@op("RMSNormalization")
def rms_normalization(
    x: np.ndarray,
    scale: np.ndarray,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: Any = 1,
) -> np.ndarray:
    wide = _wide(x)
    squares = mean(wide * wide, tuple(range(axis % x.ndim, x.ndim)), keepdims=True)
    return (wide / np.sqrt(squares + epsilon)).astype(x.dtype) * scale


@op("MeanVarianceNormalization")
def mean_variance_normalization(x: np.ndarray, *, axes: Sequence[int] = (0, 2, 3)) -> np.ndarray:
    off = x - mean(x, tuple(axes), keepdims=True)
    deviation = np.sqrt(mean(off * off, tuple(axes), keepdims=True))
    return off / (deviation + 1e-9)


@op("LpNormalization")
def lp_normalization(x: np.ndarray, *, axis: int = -1, p: int = 2) -> np.ndarray:
    """0 where the norm is 0."""
    norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
    return x / np.where(norm == 0, x.dtype.type(1), norm)


@op("LRN")
def local_response_normalization(
    x: np.ndarray, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> np.ndarray:
    """By the squares of the `size` channels around each."""
    before = (size - 1) // 2
    widths = [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)]
    squares = np.pad(x * x, widths)
    total = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return x / (bias + alpha / size * total) ** beta
