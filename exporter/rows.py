"""Matrices a block of rows at a time, so that work on a large one needs little memory."""

from collections.abc import Iterator

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
    offsets = None if tensor.offsets is None else tensor.offsets[at]
    multipliers = None if tensor.multipliers is None else tensor.multipliers[at]
    codes, scales, codebooks = tensor.codes[at], tensor.scales[at], tensor.codebooks
    if codebooks is not None:
        first = (at.start or 0) // CODEBOOK_ROWS
        codebooks = codebooks[first : first + -(-len(codes) // CODEBOOK_ROWS)]
    return QuantizedTensor(tensor.format, codes, scales, offsets, multipliers, codebooks)
