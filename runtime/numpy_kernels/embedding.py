"""Rows of the embedding matrix, out of the tiles that products read."""

import numpy as np

from edge.format.formats import TILE_ROWS, WeightFormat

from ..kernels.layout import EMBEDDING_TOKENS
from .memory import Kernel, bits_float, floats, integer, tokens_of, view
from .weights import Tiles


def kernel(form: WeightFormat) -> Kernel:
    """OUT = FACTOR * W[id]; arguments as in kernels/embedding.py."""

    def embedding(args: list[int], chunks: range) -> None:
        end, ids, weight, tile_bytes, _, _, columns, out, stride, factor = args[:10]
        first, count = tokens_of(chunks, EMBEDDING_TOKENS, integer(end))
        matrix = Tiles(form, weight, tile_bytes, columns)
        rows = view(ids + 8 * first, (count,), "<i8").tolist()
        values = floats(out + first * stride, count, columns, stride)
        for token, row in enumerate(rows):
            tile, lane = divmod(row, TILE_ROWS)
            np.multiply(
                matrix.floats(range(tile, tile + 1))[lane], bits_float(factor), out=values[token]
            )

    return embedding


def add_positions(args: list[int], chunks: range) -> None:
    """X += TABLE[position]."""
    end, positions, table, width, x, stride = args[:6]
    first, count = tokens_of(chunks, EMBEDDING_TOKENS, integer(end))
    values = floats(x + first * stride, count, width, stride)
    for token, position in enumerate(view(positions + 8 * first, (count,), "<i8").tolist()):
        values[token] += view(table + 4 * width * position, (width,), "<f4")
