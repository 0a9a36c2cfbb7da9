"""How long an export will take: an estimate from timed samples and from counted arithmetic.

Searches that need no data are timed on a sample of the model's own rows, on this machine, now.
Calibration and what follows from it are counted in multiply-adds, at the rate of one small product.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .architectures.placement import Placement
from .recipe import Recipe
from .refinements.quantease import SWEEPS
from .registry import find
from .transforms.awq import EXPONENTS, ROWS

PROBE = 512  # rows, columns and depth of the product that is timed
SHARED = 4  # a layer's matrices read four different inputs: each has second moments
# Measured on SmolLM2: times what the counted multiply-adds would take at the probe's rate.
FORWARD, MOMENTS, GPTQ = 6.0, 6.0, 3.0


@dataclass(frozen=True)
class Seconds:
    """Of the steps that take longest; all estimates."""

    read: float
    calibrate: float
    transform: float
    quantize: float

    @property
    def total(self) -> float:
        return self.read + self.calibrate + self.transform + self.quantize


@dataclass(frozen=True)
class Sampled:
    """What a class's sample took, seconds a weight: to read, to store, to store without data."""

    tensors: list[Placement]
    read: float
    store: float
    plain: float


def seconds(recipe: Recipe, samples: list[Sampled], tokens: int) -> Seconds:
    """`tokens` of calibration text, for a recipe that needs some."""
    rate = _multiply_adds_a_second()
    body = [t for s in samples for t in s.tensors if t.name.startswith("layers.")]
    read = sum(s.read * _weights(s.tensors) for s in samples)
    store = sum(s.store * _weights(s.tensors) for s in samples)
    calibrate = transform = by_data = 0.0
    if recipe.needs_data:
        forward = FORWARD * _weights(body) + MOMENTS * _moments(body)
        calibrate = tokens * forward / rate + read
        by_data = sum(_by_data(recipe, body)) / rate
    for name in recipe.transforms:
        transform += read
        if find(name).needs_data:
            transform += _search(body, samples, rate)
    return Seconds(read, calibrate, transform, store + by_data)


def _weights(tensors: Iterable[Placement]) -> int:
    return sum(int(np.prod(t.shape)) for t in tensors)


def _moments(body: list[Placement]) -> float:
    """Multiply-adds a token of x x^T, once for matrices that read the same."""
    widths = {(t.name.split(".")[1], t.shape[1]): t for t in body}
    return sum(t.shape[1] ** 2 for t in widths.values()) * SHARED / 2


def _by_data(recipe: Recipe, body: list[Placement]) -> Iterator[float]:
    """Multiply-adds of what is done with second moments: judging twice, GPTQ, sweeps."""
    for tensor in body:
        rows, columns = tensor.shape
        method = recipe.method(tensor.name)
        if method.needs_data:
            yield 2 * rows * columns**2
        if find(method.rounding).needs_data:
            yield GPTQ * (rows * columns**2 / 2 + columns**3)
        if method.refinement:
            yield (SWEEPS + 1) * rows * columns**2


def _search(body: list[Placement], samples: list[Sampled], rate: float) -> float:
    """Seconds of a search like AWQ's: some rows of each matrix, quantized for every exponent."""
    products = sum(ROWS * t.shape[1] ** 2 for t in body) / rate
    plain = {t.name: s.plain for s in samples for t in s.tensors}
    quantized = sum(plain[t.name] * min(ROWS, t.shape[0]) * t.shape[1] for t in body)
    return len(EXPONENTS) * (products + quantized)


def _multiply_adds_a_second() -> float:
    a = np.ones((PROBE, PROBE), np.float32)
    best = np.inf
    for _ in range(4):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return float(PROBE**3 / best)


def cores(weights: int, block: int) -> int:
    """That work on a matrix's blocks of rows side by side."""
    return max(1, min(os.cpu_count() or 1, weights // block))
