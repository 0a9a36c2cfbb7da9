"""A matrix's tiles as arrays: a few tiles at a time, by the definition in edge/format/tiles.py."""

from dataclasses import dataclass
from functools import cache
from itertools import count

import numpy as np

from edge.format import tiles
from edge.format.formats import TILE_ROWS, QuantizedTensor, WeightFormat

from .memory import view

BLOCK_BYTES = 2**20  # of unpacked codes at a time, as float32: they stay in a cache


@dataclass(frozen=True)
class Tiles:
    """Tiles of a matrix in memory; `columns` with padding, as a product goes over them."""

    form: WeightFormat
    address: int
    tile_bytes: int
    columns: int

    def quantized(self, run: range) -> QuantizedTensor:
        return tiles.unpack(self._bytes(run), self.form, TILE_ROWS * len(run), self.columns)

    def floats(self, run: range) -> np.ndarray:
        """float32 [rows, columns]: what the weights mean."""
        if not self.form.is_float:
            return self.quantized(run).dequantize()
        rows = TILE_ROWS * len(run)
        return tiles.unpack_floats(self._bytes(run), self.form.kind, rows, self.columns)

    def runs(self, first: int, last: int) -> list[range]:
        """Tiles first..last-1 in runs that are unpacked together."""
        step = max(BLOCK_BYTES // (4 * TILE_ROWS * self.columns), 1)
        return [range(i, min(i + step, last)) for i in range(first, last, step)]

    def _bytes(self, run: range) -> np.ndarray:
        start = self.address + run.start * self.tile_bytes
        return view(start, (len(run), self.tile_bytes), "u1")


def whole_numbers(tensor: QuantizedTensor) -> np.ndarray:
    """float32 [rows, columns]: what codes mean, times their multipliers."""
    codes = tensor.numbers()
    if tensor.multipliers is not None:
        codes *= np.repeat(tensor.multipliers, tensor.format.multiplier_columns, axis=1)
    return codes


@cache
def padded_columns(form: WeightFormat, tile_bytes: int) -> int:
    """Columns of a quantized matrix, with padding, from the size of its tiles."""
    step = form.padded_columns(1)
    return next(n for n in count(step, step) if form.tile_bytes(n) >= tile_bytes)
