"""Inputs from a seed, for a model that nobody has given data for."""

from collections.abc import Sequence

import numpy as np

from edge.format.element_types import held_as
from edge.format.graph import Value

from . import Samples

FREE = 16  # a size that the model leaves open; a batch is 1


def drawn(inputs: Sequence[Value], count: int, seed: int = 0) -> Samples | None:
    """Normal floats, small non-negative integers, either bool; None for other kinds of input."""
    if any("(" in v.dtype or v.shape is None or held_as(v.dtype).name != v.dtype for v in inputs):
        return None
    random = np.random.default_rng(seed)
    items = tuple({v.name: _values(v, random) for v in inputs} for _ in range(count))
    return Samples(items, f"random numbers, seed {seed}", random=True)


def _values(value: Value, random: np.random.Generator) -> np.ndarray:
    assert value.shape is not None
    dtype = np.dtype(value.dtype)
    shape = tuple(
        size if isinstance(size, int) else (1 if at == 0 else FREE)
        for at, size in enumerate(value.shape)
    )
    if dtype.kind in "fc":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)
