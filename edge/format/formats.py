"""Weight formats: how a matrix W[rows, columns] is cut into codes, scales and offsets.

Every format stores unsigned codes and means

    w = scale * (code - zero)            without an offset
    w = scale * code + offset            with one (a float: an integer zero point cannot carry
                                         Q4_1, Q4_K or HQQ exactly)

with one scale (and offset) per row and group of columns.  int6 has scales of two levels, as Q6_K
in ggml: w = scale * multiplier * (code - zero), an int8 multiplier per row and 16 columns.  The
codes of code4 are no numbers: w = scale * codebook[code], 16 int8 levels for every 4 rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

TILE_ROWS = 16
CODEBOOK_ROWS = 4  # that share a codebook: those of a byte shuffle's 16 bytes
ALIGNMENT = 64


@dataclass(frozen=True)
class Codes:
    """What one kind of code is: its values, its place in a tile, its granularities."""

    levels: int
    zero: int
    columns: int  # for each of the 16 rows, of a unit: as many as fill whole 64-byte vectors
    vectors: int  # of a unit
    column_multiple: int  # a row is padded to a multiple of this (or of its group)
    groups: tuple[int, ...]  # columns a scale; 0 means one scale a row
    has_offset: bool = False
    multiplier_columns: int = 0  # columns an int8 multiplier of the scale; 0: there are none
    has_codebook: bool = False


CODES = {
    "int8": Codes(256, 128, 4, 1, 64, (0, 32, 64, 128)),
    "int6": Codes(64, 32, 16, 3, 256, (256,), multiplier_columns=16),
    "int4": Codes(16, 8, 8, 1, 32, (32, 64, 128), has_offset=True),
    "code4": Codes(16, 0, 8, 1, 32, (32, 64, 128), has_codebook=True),
    "ternary": Codes(3, 1, 16, 1, 64, (0, 256)),
    "ternary-dense": Codes(3, 1, 96, 5, 96, (0,)),
}
FLOATS: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


@dataclass(frozen=True)
class WeightFormat:
    """One weight format: a kind of code, its group size, and whether it has an offset.

    `group` is the number of columns that share a scale; 0 means one scale a row.
    """

    kind: str
    group: int = 0
    offset: bool = False

    def __post_init__(self) -> None:
        if self.kind in FLOATS:
            valid = self.group == 0 and not self.offset
        else:
            codes = CODES.get(self.kind)
            valid = codes is not None and self.group in codes.groups
            valid = valid and (not self.offset or CODES[self.kind].has_offset)
        if not valid:
            raise ValueError(f"no weight format {self.kind!r} with group {self.group}")

    def __str__(self) -> str:
        group = f"-g{self.group}" if self.group else ""
        return self.kind + group + ("-offset" if self.offset else "")

    @property
    def is_float(self) -> bool:
        return self.kind in FLOATS

    @property
    def zero(self) -> int:
        """The code that means 0; 0 where none does, with an offset or a codebook."""
        return 0 if self.offset else CODES[self.kind].zero

    @property
    def multiplier_columns(self) -> int:
        """Columns that share an int8 multiplier of their scale; 0 where there are none."""
        return 0 if self.is_float else CODES[self.kind].multiplier_columns

    @property
    def has_codebook(self) -> bool:
        return not self.is_float and CODES[self.kind].has_codebook

    @property
    def head_bytes(self) -> int:
        """Of a tile, before its blocks: its codebooks."""
        return ALIGNMENT if self.has_codebook else 0

    @property
    def scale_type(self) -> np.dtype[np.floating]:
        """float32 where a scale serves a row or 256 columns, float16 for small groups and int6."""
        return np.dtype("<f2" if 0 < self.group < 256 or self.multiplier_columns else "<f4")

    @property
    def groups_per_block(self) -> int:
        """Groups whose scales fill a 64-byte line."""
        return ALIGNMENT // (TILE_ROWS * self.scale_type.itemsize)

    def padded_columns(self, columns: int) -> int:
        """Columns as stored: whole vectors and whole blocks (of int6, half a block at the end)."""
        if self.is_float:
            return columns
        block = self.group if self.multiplier_columns else self.group * self.groups_per_block
        return _round_up(columns, max(CODES[self.kind].column_multiple, block))

    def groups(self, columns: int) -> int:
        """Scales of one row, as stored."""
        return self.padded_columns(columns) // self.group if self.group else 1

    def blocks(self, columns: int) -> int:
        """Blocks of a tile: a line of scales, a line of offsets, the codes they belong to."""
        return -(-self.groups(columns) // self.groups_per_block)

    def block_columns(self, columns: int) -> int:
        """Columns of a whole block."""
        if not self.group:
            return self.padded_columns(columns)
        return self.group * self.groups_per_block

    def block_bytes(self, columns: int) -> int:
        """From one block to the next, of a tile without blocks to the next tile."""
        if self.is_float:
            return self.tile_bytes(columns)
        return (1 + self.offset) * ALIGNMENT + self.code_bytes(self.block_columns(columns))

    def code_bytes(self, columns: int) -> int:
        """Bytes of a tile's codes for so many columns, padded ones, with their multipliers."""
        codes = CODES[self.kind]
        size = columns // codes.columns * codes.vectors * ALIGNMENT
        if codes.multiplier_columns:
            size += columns // codes.multiplier_columns * TILE_ROWS
        return size

    def tiles(self, rows: int) -> int:
        return -(-rows // TILE_ROWS)

    def tile_bytes(self, columns: int) -> int:
        if self.is_float:
            return _round_up(TILE_ROWS * columns * FLOATS[self.kind].itemsize, ALIGNMENT)
        lines = self.blocks(columns) * (1 + self.offset)
        codes = self.code_bytes(self.padded_columns(columns))
        return self.head_bytes + lines * ALIGNMENT + codes

    def nbytes(self, rows: int, columns: int) -> int:
        return self.tiles(rows) * self.tile_bytes(columns)


@dataclass(frozen=True)
class QuantizedTensor:
    """A matrix on a format's grid.

    codes        uint8 [rows, columns], 0..levels-1
    scales       float32 [rows, groups]; exactly representable in the format's scale type
    offsets      float32 [rows, groups] or None
    multipliers  int8 [rows, runs of multiplier_columns] or None
    codebooks    int8 [rows / 4, 16], a last one of fewer rows, or None
    """

    format: WeightFormat
    codes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray | None = None
    multipliers: np.ndarray | None = None
    codebooks: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.codes.shape
        return rows, columns

    def dequantize(self) -> np.ndarray:
        """float32 [rows, columns]: the definition of what the codes mean."""
        columns = self.codes.shape[1]
        group = self.format.group or columns
        scales = _spread(self.scales, group, columns)
        if self.multipliers is not None:
            scales *= _spread(self.multipliers, self.format.multiplier_columns, columns)
        values = self.numbers()
        values *= scales
        if self.offsets is not None:
            values += _spread(self.offsets, group, columns)
        return values

    def numbers(self) -> np.ndarray:
        """float32 [rows, columns]: what scales multiply."""
        if self.codebooks is None:
            return self.codes.astype(np.float32) - np.float32(self.format.zero)
        book = np.arange(len(self.codes)) // CODEBOOK_ROWS
        levels: np.ndarray = self.codebooks.astype(np.float32)[book[:, None], self.codes]
        return levels


def _spread(per_group: np.ndarray, group: int, columns: int) -> np.ndarray:
    return np.repeat(per_group, group, axis=1)[:, :columns]


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
