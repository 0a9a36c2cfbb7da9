"""Weight formats: how a matrix W[rows, columns] is cut into codes, scales and offsets.

Every format stores unsigned codes and means

    w = scale * (code - zero)            without an offset
    w = scale * code + offset            with one (a float: an integer zero point cannot carry
                                         Q4_1, Q4_K or HQQ exactly)

with one scale (and offset) per row and group of columns.  In formats of two levels, as the
K-quants of ggml are, a run of 16 or 32 columns has int8 multipliers of its group's numbers:

    w = scale * m * (code - zero)    or    w = scale * m * code + offset * n

Those of int2 are 0..15, the two of a run in one byte.

The codes of code4 are no numbers: w = scale * codebook[code], 16 int8 levels for every 4 rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

TILE_ROWS = 16
CODEBOOK_ROWS = 4  # that share a codebook: those of a byte shuffle's 16 bytes
ALIGNMENT = 64


GROUP = 256  # columns of a group of two levels; its last one in a row may be shorter
PIECE = 64  # columns that lie behind one line of multipliers


@dataclass(frozen=True)
class Codes:
    """What one kind of code is: its values, its place in a tile, its granularities."""

    levels: int
    zero: int
    planes: tuple[int, ...]  # bits of a code that lie together, the lowest first; () if none do
    column_multiple: int  # a row is padded to a multiple of this (or of its groups)
    groups: tuple[int, ...] = ()  # columns a scale; 0 means one scale a row
    shifted: tuple[int, ...] = ()  # the same of formats with an offset
    runs: int = 0  # columns a multiplier, in groups of 256 that have two levels
    shifted_runs: int = 0
    multiplier_bits: int = 8  # signed; of 4 bits they are not, and come in pairs
    has_codebook: bool = False

    @property
    def columns(self) -> int:
        """For each of the 16 rows, of a unit: as many as fill whole 64-byte vectors."""
        return 32 // min(self.planes) if self.planes else 96

    @property
    def vectors(self) -> int:
        """Of a unit."""
        return self.columns * sum(self.planes) // 32 if self.planes else 5


CODES = {
    "int8": Codes(256, 128, (8,), 64, (0, 32, 64, 128)),
    "int6": Codes(64, 32, (4, 2), 64, (GROUP,), runs=16),
    "int5": Codes(32, 16, (4, 1), 64, (32,), (32, GROUP), shifted_runs=32),
    "int4": Codes(16, 8, (4,), 64, (32, 64, 128), (32, 64, 128, GROUP), shifted_runs=32),
    "code4": Codes(16, 0, (4,), 64, (32, 64, 128), has_codebook=True),
    "int3": Codes(8, 4, (2, 1), 64, (GROUP,), runs=16),
    "int2": Codes(4, 0, (2,), 64, (), (GROUP,), shifted_runs=16, multiplier_bits=4),
    "ternary": Codes(3, 1, (2,), 64, (0, GROUP)),
    "ternary-dense": Codes(3, 1, (), 96, (0,)),
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
            groups = () if codes is None else codes.shifted if self.offset else codes.groups
            valid = self.group in groups
        if not valid:
            what = "and an offset" if self.offset else "and no offset"
            raise ValueError(f"no weight format {self.kind!r} with group {self.group} {what}")

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
        """Columns of a run, which has int8 multipliers; 0 where there are none."""
        if self.is_float or self.group != GROUP:
            return 0
        return CODES[self.kind].shifted_runs if self.offset else CODES[self.kind].runs

    @property
    def multiplier_bits(self) -> int:
        return CODES[self.kind].multiplier_bits

    @property
    def multiplier_values(self) -> range:
        """What a multiplier may be."""
        return range(16) if self.multiplier_bits == 4 else range(-128, 128)

    @property
    def step_columns(self) -> int:
        """Columns in which codes have one step (and offset): a run, a group; 0: a row."""
        return self.multiplier_columns or self.group

    @property
    def has_codebook(self) -> bool:
        return not self.is_float and CODES[self.kind].has_codebook

    @property
    def head_bytes(self) -> int:
        """Of a tile, before its blocks: its codebooks."""
        return ALIGNMENT if self.has_codebook else 0

    @property
    def scale_type(self) -> np.dtype[np.floating]:
        """float32 where a scale serves a row or 256 columns as it is, else float16."""
        return np.dtype("<f2" if 0 < self.group < GROUP or self.multiplier_columns else "<f4")

    @property
    def lines(self) -> int:
        """64-byte lines that a block begins with: scales, offsets; of two levels one for both."""
        return 0 if self.is_float else 1 if self.multiplier_columns else 1 + self.offset

    @property
    def groups_per_block(self) -> int:
        """Groups whose scales and offsets fill the block's lines."""
        return self.lines * ALIGNMENT // ((1 + self.offset) * TILE_ROWS * self.scale_type.itemsize)

    def padded_columns(self, columns: int) -> int:
        """Columns as stored: whole vectors and whole blocks (of two levels, whole pieces)."""
        if self.is_float:
            return columns
        block = PIECE if self.multiplier_columns else self.group * self.groups_per_block
        return _round_up(columns, max(CODES[self.kind].column_multiple, block))

    def groups(self, columns: int) -> int:
        """Scales of one row, as stored."""
        return -(-self.padded_columns(columns) // self.group) if self.group else 1

    def runs(self, columns: int) -> int:
        """Steps of one row: its runs, its groups, or one; padding beyond the last not counted."""
        return -(-columns // self.step_columns) if self.group else 1

    def blocks(self, columns: int) -> int:
        """Blocks of a tile: lines of scales and offsets, the codes they belong to."""
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
        return self.lines * ALIGNMENT + self.code_bytes(self.block_columns(columns))

    def code_bytes(self, columns: int) -> int:
        """Bytes of a tile's codes for so many columns, padded ones, with their multipliers."""
        codes = CODES[self.kind]
        size = columns // codes.columns * codes.vectors * ALIGNMENT
        if self.multiplier_columns:
            bits = (1 + self.offset) * self.multiplier_bits
            size += columns // self.multiplier_columns * bits * TILE_ROWS // 8
        return size

    def tiles(self, rows: int) -> int:
        return -(-rows // TILE_ROWS)

    def tile_bytes(self, columns: int) -> int:
        if self.is_float:
            return _round_up(TILE_ROWS * columns * FLOATS[self.kind].itemsize, ALIGNMENT)
        lines = self.blocks(columns) * self.lines
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
    multipliers  int8 [rows, runs of multiplier_columns] or None: of the scales
    offset_multipliers  likewise: of the offsets
    codebooks    int8 [rows / 4, 16], a last one of fewer rows, or None
    order        int32 [columns] or None: which column of the matrix each column of the codes is
    """

    format: WeightFormat
    codes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray | None = None
    multipliers: np.ndarray | None = None
    offset_multipliers: np.ndarray | None = None
    codebooks: np.ndarray | None = None
    order: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.codes.shape
        return rows, columns

    def steps(self) -> tuple[np.ndarray, np.ndarray | None]:
        """float32 [rows, runs]: what a code counts, and what is added, in each run (or group)."""
        scales = _multiplied(self.scales, self.multipliers, self.format)
        if self.offsets is None:
            return scales, None
        return scales, _multiplied(self.offsets, self.offset_multipliers, self.format)

    def dequantize(self) -> np.ndarray:
        """float32 [rows, columns]: the definition of what the codes mean."""
        columns = self.codes.shape[1]
        width = self.format.step_columns or columns
        scales, offsets = self.steps()
        values = self.numbers()
        values *= _spread(scales, width, columns)
        if offsets is not None:
            values += _spread(offsets, width, columns)
        return values if self.order is None else values[:, np.argsort(self.order)]

    def numbers(self) -> np.ndarray:
        """float32 [rows, columns]: what scales multiply."""
        if self.codebooks is None:
            return self.codes.astype(np.float32) - np.float32(self.format.zero)
        book = np.arange(len(self.codes)) // CODEBOOK_ROWS
        levels: np.ndarray = self.codebooks.astype(np.float32)[book[:, None], self.codes]
        return levels

    def each(self, change: Callable[[np.ndarray], np.ndarray]) -> "QuantizedTensor":
        """The same change to every part that has rows; codebooks and order stay."""
        names = ("codes", "scales", "offsets", "multipliers", "offset_multipliers")
        parts = {name: getattr(self, name) for name in names}
        changed: dict[str, Any] = {
            name: change(part) for name, part in parts.items() if part is not None
        }
        return replace(self, **changed)


def _multiplied(
    per_group: np.ndarray, multipliers: np.ndarray | None, form: WeightFormat
) -> np.ndarray:
    """float32 [rows, runs]; exact: a float16 has 11 bits, a multiplier 8."""
    if multipliers is None:
        return per_group
    runs = form.group // form.multiplier_columns
    steps: np.ndarray = _spread(per_group, runs, multipliers.shape[1]) * multipliers
    return steps


def _spread(per_group: np.ndarray, group: int, columns: int) -> np.ndarray:
    return np.repeat(per_group, group, axis=1)[:, :columns]


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
