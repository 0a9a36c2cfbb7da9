"""GGML's block formats: their sizes, their values as float32, and the grids edge keeps as they are.

A row of a matrix is a run of blocks. `rows` is always uint8 [rows, bytes of a row]. Values come
from gguf.quants, ggml's own reference; what is added here are the codes and scales behind them
(ggml-common.h has the layouts) and I2_S, which only bitnet.cpp writes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from edge.errors import SourceError, UnsupportedModel
from edge.format.formats import QuantizedTensor, WeightFormat

CHUNK_ELEMENTS = 1 << 20  # rows are converted this many elements at a time

READABLE = (
    "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K TQ1_0 TQ2_0 MXFP4 "
    "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS"
).split()
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

    def grid(self) -> QuantizedTensor | None:
        """The codes and scales themselves, where edge has this grid."""
        grid = GRIDS.get(self.type.name)
        return None if grid is None else grid(self)

    def _chunk_values(self, rows: np.ndarray) -> np.ndarray:
        if self.type.name == "I2_S":
            return (_i2s_codes(rows, self.where).astype(np.float32) - 1) * _i2s_scale(self)
        kind = GGMLQuantizationType[self.type.name]
        values: np.ndarray = quants.dequantize(rows, kind)
        return values

    def chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows with their place in the result."""
        step = max(1, CHUNK_ELEMENTS // self.columns)
        for start in range(0, len(self.rows), step):
            at = slice(start, min(start + step, len(self.rows)))
            yield at, self.rows[at] if self.order is None else self.rows[self.order[at]]


def _half(blocks: np.ndarray, start: int) -> np.ndarray:
    """The float16 at byte `start` of every block, as float32 [rows, blocks]."""
    both = np.ascontiguousarray(blocks[:, :, start : start + 2])
    return both.view("<f2")[:, :, 0].astype(np.float32)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """[..., n] bytes -> [..., 2n]: all low nibbles of a block, then all high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _q4_0(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    return _nibbles(blocks[:, :, 2:]), _half(blocks, 0), None


def _q4_1(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return _nibbles(blocks[:, :, 4:]), _half(blocks, 0), _half(blocks, 2)


def _q8_0(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    return blocks[:, :, 2:] ^ 0x80, _half(blocks, 0), None  # int8 q as q + 128


def _tq1_0(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    """Five trits a byte, as the fixed-point fraction t * 256 / 243; the digit is its 3s place."""
    parts = [(0, 32, 5), (32, 48, 5), (48, 52, 4)]  # bytes from, to; trits a byte
    digits = []
    for start, stop, trits in parts:
        powers = np.array([1, 3, 9, 27, 81][:trits], np.uint8)[:, None]
        digits.append((blocks[:, :, None, start:stop] * powers).reshape(*blocks.shape[:2], -1))
    fractions = np.concatenate(digits, axis=-1).astype(np.uint16)
    return (fractions * 3 >> 8).astype(np.uint8), _half(blocks, 52), None


def _tq2_0(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    """Two runs of 32 bytes, each holding four runs of 32 codes, lowest bits first."""
    packed = blocks[:, :, :64].reshape(*blocks.shape[:2], 2, 1, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    return (packed >> shifts & 3).reshape(*blocks.shape[:2], 256), _half(blocks, 64), None


Unpack = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray | None]]


def _collect(
    matrix: BlockMatrix, unpack: Unpack, format_: WeightFormat, levels: int
) -> QuantizedTensor | None:
    """All blocks of a matrix on one grid; None if a code is not one of its levels."""
    shape = len(matrix.rows), matrix.columns
    codes = np.empty(shape, np.uint8)
    scales = np.empty((shape[0], shape[1] // matrix.type.columns), np.float32)
    offsets = np.empty_like(scales) if format_.offset else None
    for at, rows in matrix.chunks():
        blocks = rows.reshape(len(rows), -1, matrix.type.nbytes)
        chunk, scales[at], chunk_offsets = unpack(blocks)
        codes[at] = chunk.reshape(len(blocks), -1)
        if offsets is not None:
            offsets[at] = chunk_offsets
        if codes[at].max() >= levels:
            return None
    return QuantizedTensor(format_, codes, scales, offsets)


def _kept_int4(matrix: BlockMatrix) -> QuantizedTensor | None:
    return _collect(matrix, _q4_0, WeightFormat("int4", 32), 16)


def _kept_int4_offset(matrix: BlockMatrix) -> QuantizedTensor | None:
    return _collect(matrix, _q4_1, WeightFormat("int4", 32, offset=True), 16)


def _kept_int8(matrix: BlockMatrix) -> QuantizedTensor | None:
    return _collect(matrix, _q8_0, WeightFormat("int8", 32), 256)


def _kept_tq1_0(matrix: BlockMatrix) -> QuantizedTensor | None:
    return _one_scale_a_row(_collect(matrix, _tq1_0, WeightFormat("ternary", 256), 3))


def _kept_tq2_0(matrix: BlockMatrix) -> QuantizedTensor | None:
    return _one_scale_a_row(_collect(matrix, _tq2_0, WeightFormat("ternary", 256), 3))


def _one_scale_a_row(tensor: QuantizedTensor | None) -> QuantizedTensor | None:
    """The same tensor without groups if no row needs them (BitNet: one scale a matrix)."""
    if tensor is None:
        return None
    bits = tensor.scales.view(np.uint32)
    if (bits != bits[:, :1]).any():
        return tensor
    return QuantizedTensor(WeightFormat("ternary"), tensor.codes, tensor.scales[:, :1].copy())


def _i2s_codes(rows: np.ndarray, where: str) -> np.ndarray:
    """I2_S: 32 bytes hold four runs of 32 codes, highest bits first; 0, 1, 2 mean -1, 0, 1."""
    packed = rows.reshape(len(rows), -1, 1, 32)
    shifts = np.array([6, 4, 2, 0], np.uint8)[:, None]
    codes: np.ndarray = (packed >> shifts & 3).reshape(len(rows), -1)
    if codes.max() > 2:
        raise SourceError(f"{where}: holds the I2_S code 3, which has no meaning")
    return codes


def _i2s_scale(matrix: BlockMatrix) -> np.float32:
    scale: np.float32 = matrix.trailer[:4].copy().view("<f4")[0]
    return scale


def _kept_i2s(matrix: BlockMatrix) -> QuantizedTensor:
    codes = np.empty((len(matrix.rows), matrix.columns), np.uint8)
    for at, rows in matrix.chunks():
        codes[at] = _i2s_codes(rows, matrix.where)
    scales = np.full((len(codes), 1), _i2s_scale(matrix), np.float32)
    return QuantizedTensor(WeightFormat("ternary"), codes, scales)


GRIDS: dict[str, Callable[[BlockMatrix], QuantizedTensor | None]] = {
    "Q4_0": _kept_int4,
    "Q4_1": _kept_int4_offset,
    "Q8_0": _kept_int8,
    "TQ1_0": _kept_tq1_0,
    "TQ2_0": _kept_tq2_0,
    "I2_S": _kept_i2s,
}
