"""GGML's block formats: their sizes, and their values as float32.

A row of a matrix is a run of blocks. Values come from gguf.quants, ggml's own reference; only
I2_S is read here, as only bitnet.cpp writes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.errors import SourceError, UnsupportedModel

try:
    from gguf import quants
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
except ModuleNotFoundError as missing:
    raise SourceError(
        f"reading GGUF files needs the package {missing.name}: pip install 'edge[export]'"
    ) from missing

CHUNK_ELEMENTS = 1 << 17  # rows are converted this many elements at a time

READABLE = (
    *("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"),
    *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0", "MXFP4"),
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"),
)
I2_S = 36  # an id that ggml has retired and bitnet.cpp uses


@dataclass(frozen=True)
class BlockType:
    """`columns` elements in `nbytes` bytes; `trailer` bytes follow the last row of a tensor."""

    name: str
    columns: int
    nbytes: int
    trailer: int = 0

    def row_bytes(self, columns: int) -> int:
        return columns // self.columns * self.nbytes


BLOCK_TYPES = {
    int(kind): BlockType(kind.name, *GGML_QUANT_SIZES[kind])
    for kind in GGMLQuantizationType
    if kind.name in READABLE
}
BLOCK_TYPES[I2_S] = BlockType("I2_S", 128, 32, trailer=32)


def block_type(kind: int, where: str) -> BlockType:
    try:
        return BLOCK_TYPES[kind]
    except KeyError:
        known = {int(t): t.name for t in GGMLQuantizationType}
        name = known.get(kind, f"number {kind}")
        raise UnsupportedModel(
            f"{where}: tensor type {name}; edge reads {', '.join(READABLE)}, I2_S"
        ) from None


@dataclass(frozen=True)
class BlockMatrix:
    """One tensor's bytes as rows of blocks; `order`, if given, says which row comes when."""

    type: BlockType
    columns: int
    rows: np.ndarray  # uint8 [rows, bytes of a row], read-only
    trailer: np.ndarray  # uint8 [bytes after the last row]
    where: str  # file and tensor, for errors
    order: np.ndarray | None = None  # int64 [rows]

    def values(self) -> np.ndarray:
        """float32 [rows, columns]."""
        out = np.empty((len(self.rows), self.columns), np.float32)
        for at, rows in self.chunks():
            out[at] = self._chunk_values(rows)
        return out

    def _chunk_values(self, rows: np.ndarray) -> np.ndarray:
        if self.type is BLOCK_TYPES[I2_S]:
            return (i2s_codes(rows, self.where).astype(np.float32) - 1) * i2s_scale(self)
        kind = GGMLQuantizationType[self.type.name]
        values: np.ndarray = quants.dequantize(rows, kind)
        return values

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows with their place in the result."""
        step = max(1, CHUNK_ELEMENTS // self.columns)
        for start in range(0, len(self.rows), step):
            at = slice(start, min(start + step, len(self.rows)))
            yield at, self.rows[at] if self.order is None else self.rows[self.order[at]]


def i2s_codes(rows: np.ndarray, where: str) -> np.ndarray:
    """32 bytes hold four runs of 32 codes, highest bits first; 0, 1, 2 mean -1, 0, 1."""
    packed = rows.reshape(len(rows), -1, 1, 32)
    shifts = np.array([6, 4, 2, 0], np.uint8)[:, None]
    codes: np.ndarray = (packed >> shifts & 3).reshape(len(rows), -1)
    if codes.max() > 2:
        raise SourceError(f"{where}: holds the I2_S code 3, which has no meaning")
    return codes


def i2s_scale(matrix: BlockMatrix) -> np.float32:
    """The float32 behind the last row, for the whole tensor."""
    scale: np.float32 = matrix.trailer[:4].copy().view("<f4")[0]
    return scale
