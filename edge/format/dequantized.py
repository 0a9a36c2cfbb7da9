"""What the matrices of a file mean, as floats: for checks and drawings, not for kernels."""

from collections.abc import Iterator

import numpy as np

from . import spec, tiles
from .beside import addends, order
from .formats import TILE_ROWS
from .reader import EdgeFile

BLOCK_WEIGHTS = 2**20  # at a time: a large matrix needs little memory


def row_blocks(file: EdgeFile, name: str) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, float32 [rows, columns]) from the first row to the last, with what is beside them, the
    columns in the order of the input.

    Raises FormatError if there is no tensor of that name, or for indices that point nowhere.
    """
    stem = name.removesuffix(".weight")
    more, columns = addends(file, stem), order(file, stem)
    places = slice(None) if columns is None else np.argsort(columns)
    for at, alone in _alone(file, name):
        values = more.of_rows(at).add_to(alone) if more else alone
        yield at, values[:, places]


def _alone(file: EdgeFile, name: str) -> Iterator[tuple[slice, np.ndarray]]:
    info = file.info(name)
    form = spec.weight_format(info.format)
    rows, columns = info.shape
    packed = file.view(name).reshape(form.tiles(rows), -1)
    step = max(1, BLOCK_WEIGHTS // (TILE_ROWS * columns))
    for first in range(0, len(packed), step):
        at = slice(first * TILE_ROWS, min((first + step) * TILE_ROWS, rows))
        block, count = packed[first : first + step], at.stop - at.start
        if form.is_float:
            yield at, tiles.unpack_floats(block, form.kind, count, columns)
        else:
            yield at, tiles.unpack(block, form, count, columns).dequantize()
