"""Random numbers: the same for the same `seed`, others at each call without one."""

from collections.abc import Sequence

import numpy as np

from .registry import op
from .types import held


def _generator(seed: float | None) -> np.random.RandomState:
    """NumPy's older generator, whose stream is frozen (NEP 19), from the bits of the seed."""
    return np.random.RandomState(None if seed is None else int(np.float32(seed).view(np.uint32)))


@op("RandomNormal")
def random_normal(
    *,
    shape: Sequence[int],
    dtype: str = "float32",
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> np.ndarray:
    return _generator(seed).normal(mean, scale, shape).astype(held(dtype))


@op("RandomNormalLike")
def random_normal_like(
    x: np.ndarray,
    *,
    dtype: str | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> np.ndarray:
    return _generator(seed).normal(mean, scale, x.shape).astype(held(dtype) if dtype else x.dtype)


@op("RandomUniform")
def random_uniform(
    *,
    shape: Sequence[int],
    dtype: str = "float32",
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
) -> np.ndarray:
    return _generator(seed).uniform(low, high, shape).astype(held(dtype))


@op("RandomUniformLike")
def random_uniform_like(
    x: np.ndarray,
    *,
    dtype: str | None = None,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
) -> np.ndarray:
    return _generator(seed).uniform(low, high, x.shape).astype(held(dtype) if dtype else x.dtype)


@op("Bernoulli")
def bernoulli(x: np.ndarray, *, dtype: str | None = None, seed: float | None = None) -> np.ndarray:
    """1 with the probability that x says."""
    drawn = _generator(seed).uniform(size=x.shape) < x
    return drawn.astype(held(dtype) if dtype else x.dtype)


@op("Multinomial")
def multinomial(
    x: np.ndarray, *, sample_size: int = 1, dtype: str = "int32", seed: float | None = None
) -> np.ndarray:
    """[batch, sample_size] classes; x has logarithms of what they are in proportion to."""
    shares = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    edges = np.cumsum(shares, axis=1)
    drawn = _generator(seed).uniform(size=(len(x), sample_size)) * edges[:, -1:]
    return (drawn[:, :, None] >= edges[:, None]).sum(axis=2).astype(held(dtype))


@op("Dropout")
def dropout(
    x: np.ndarray,
    ratio: np.ndarray | None = None,
    training_mode: np.ndarray | None = None,
    *,
    seed: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """x as it is, but in training; and which elements were kept."""
    share = 0.5 if ratio is None else float(ratio.item())
    if training_mode is None or not training_mode.item() or not share:
        return x, np.ones(x.shape, bool)
    kept = _generator(seed).uniform(size=x.shape) >= share
    return x * kept * x.dtype.type(1 / (1 - share)), kept
