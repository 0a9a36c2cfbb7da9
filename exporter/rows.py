"""Matrices a block of rows at a time, so that work on a large one needs little memory."""

from collections.abc import Iterator

import numpy as np

from edge.format.formats import QuantizedTensor

BLOCK_ELEMENTS = 2**18  # a block and its intermediates stay in a core's cache


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices that together cover all rows of a matrix (or elements of a vector)."""
    rows, columns = shape[0], int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, BLOCK_ELEMENTS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def rows_of(tensor: QuantizedTensor, at: slice) -> QuantizedTensor:
    """Some rows of a quantized matrix, without copying."""
    return tensor.each(lambda part: part[at])
