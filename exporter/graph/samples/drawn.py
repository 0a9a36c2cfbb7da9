"""Inputs from a seed, for a model that nobody has given data for."""

import math
from collections.abc import Sequence

import numpy as np

from edge.format.element_types import held_as
from edge.format.graph import Value

from . import Samples

FREE = 16  # a size that the model leaves open, of what is no picture; a batch is 1
MOST_NUMBERS = 2**24  # of a sample: a model that takes more is not run on numbers that nobody gave


def drawn(
    inputs: Sequence[Value], count: int, pictures: int = FREE, seed: int = 0
) -> Samples | None:
    """Normal floats, small non-negative integers, either bool; None for other kinds of input, or too
    much of it.

    `pictures` is the size of open axes of inputs [N, C, H, W].
    """
    if any("(" in v.dtype or v.shape is None or held_as(v.dtype).name != v.dtype for v in inputs):
        return None
    if sum(math.prod(_shape(v, pictures)) for v in inputs) > MOST_NUMBERS:
        return None
    random = np.random.default_rng(seed)
    items = tuple({v.name: _values(v, random, pictures) for v in inputs} for _ in range(count))
    return Samples(items, f"random numbers, seed {seed}", random=True)


def _shape(value: Value, pictures: int) -> tuple[int, ...]:
    assert value.shape is not None
    free = pictures if len(value.shape) == 4 else FREE
    return tuple(
        size if isinstance(size, int) else (1 if at == 0 else free)
        for at, size in enumerate(value.shape)
    )


def _values(value: Value, random: np.random.Generator, pictures: int) -> np.ndarray:
    dtype, shape = np.dtype(value.dtype), _shape(value, pictures)
    if dtype.kind in "fc":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)
