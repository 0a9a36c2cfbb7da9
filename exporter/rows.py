"""Matrices a block of rows at a time, so that work on a large one needs little memory."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from edge.format.formats import CODEBOOK_ROWS, QuantizedTensor

BLOCK_ELEMENTS = 2**18  # a block and its intermediates stay in a core's cache


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices that together cover all rows of a matrix (or elements of a vector)."""
    rows, columns = shape[0], int(np.prod(shape[1:], dtype=np.int64))
    step = max(1, BLOCK_ELEMENTS // max(1, columns * CODEBOOK_ROWS)) * CODEBOOK_ROWS
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def rows_of(tensor: QuantizedTensor, at: slice) -> QuantizedTensor:
    """Some rows of a quantized matrix, without copying.

    Where codebooks differ, a multiple of 4 rows comes before them.
    """
    rows = tensor.each(lambda part: part[at])
    if tensor.codebooks is None:
        return rows
    first = (at.start or 0) // CODEBOOK_ROWS
    last = first + -(-len(rows.codes) // CODEBOOK_ROWS)
    return replace(rows, codebooks=tensor.codebooks[first:last])


def joined(parts: list[QuantizedTensor]) -> QuantizedTensor:
    """What `rows_of` cut, put together."""
    first = parts[0]
    together: dict[str, Any] = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in fields(first)
        if f.name not in ("format", "order") and getattr(first, f.name) is not None
    }
    return replace(first, **together)
