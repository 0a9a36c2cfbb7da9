"""The grids of GGML's block formats that edge stores as they are, without rounding anything.

The layouts are those of ggml-common.h; an unpacker takes uint8 [rows, blocks of a row, bytes of
a block] and gives codes [rows, blocks, columns], scales [rows, blocks], and offsets [rows, blocks]
or multipliers [rows, blocks, runs], if the format has them.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge.format.formats import CODEBOOK_ROWS, CODES, QuantizedTensor, WeightFormat

from .gguf_blocks import BlockMatrix, i2s_codes, i2s_scale

Unpack = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray | None]]


def kept_grid(matrix: BlockMatrix) -> QuantizedTensor | None:
    """The matrix's own codes and scales, where edge has that grid."""
    if matrix.type.name == "I2_S":
        return _one_scale_for_all(matrix)
    if matrix.type.name not in GRIDS:
        return None
    unpack, format_ = GRIDS[matrix.type.name]
    tensor = _unpacked(matrix, unpack, format_)
    if tensor is None:
        return None
    if format_.has_codebook:
        return _with_codebooks(tensor, np.array(LEVELS[matrix.type.name], np.int8))
    return _one_scale_a_row(tensor) if format_.kind == "ternary" else tensor


def _unpacked(matrix: BlockMatrix, unpack: Unpack, format_: WeightFormat) -> QuantizedTensor | None:
    """All blocks of a matrix; None if a code is not one of the format's levels."""
    rows, columns = len(matrix.rows), matrix.columns
    codes = np.empty((rows, columns), np.uint8)
    scales = np.empty((rows, columns // matrix.type.columns), np.float32)
    offsets = np.empty_like(scales) if format_.offset else None
    runs = format_.multiplier_columns
    multipliers = np.empty((rows, columns // runs), np.int8) if runs else None
    for at, chunk in matrix.chunks():
        blocks = chunk.reshape(len(chunk), -1, matrix.type.nbytes)
        chunk_codes, scales[at], more = unpack(blocks)
        if chunk_codes.max() >= CODES[format_.kind].levels:
            return None
        codes[at] = chunk_codes.reshape(len(chunk), -1)
        if offsets is not None:
            offsets[at] = more
        if multipliers is not None and more is not None:
            multipliers[at] = more.reshape(len(chunk), -1)
    return QuantizedTensor(format_, codes, scales, offsets, multipliers)


def _with_codebooks(tensor: QuantizedTensor, levels: np.ndarray) -> QuantizedTensor | None:
    """The same levels for all rows; None if a scale is beyond float16."""
    if (tensor.scales != tensor.scales.astype(np.float16)).any():
        return None
    books = np.tile(levels, (-(-len(tensor.codes) // CODEBOOK_ROWS), 1))
    return replace(tensor, codebooks=books)


def _one_scale_a_row(tensor: QuantizedTensor) -> QuantizedTensor:
    """The same tensor without groups if no row needs them (BitNet: one scale a matrix)."""
    bits = tensor.scales.view(np.uint32)
    if (bits != bits[:, :1]).any():
        return tensor
    return QuantizedTensor(WeightFormat("ternary"), tensor.codes, tensor.scales[:, :1].copy())


def _one_scale_for_all(matrix: BlockMatrix) -> QuantizedTensor:
    codes = np.empty((len(matrix.rows), matrix.columns), np.uint8)
    for at, chunk in matrix.chunks():
        codes[at] = i2s_codes(chunk, matrix.where)
    scales = np.full((len(codes), 1), i2s_scale(matrix), np.float32)
    return QuantizedTensor(WeightFormat("ternary"), codes, scales)


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


def _iq4_nl(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    return _nibbles(blocks[:, :, 2:]), _half(blocks, 0), None


def _mxfp4(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
    """A byte of exponent; where all numbers of a block are 0, it says nothing."""
    codes = _nibbles(blocks[:, :, 1:])
    scales = np.exp2(blocks[:, :, 0].astype(np.float32) - 128)
    return codes, np.where((codes & 7).any(axis=2), scales, np.float32(0)), None


def _q6_k(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two halves of 128 columns: 64 bytes with a run of 64 low nibbles, then one of high ones;
    32 bytes with four runs of 32 bit pairs above them, lowest bits first."""
    halves = *blocks.shape[:2], 2
    low = _nibbles(blocks[:, :, :128].reshape(*halves, 64))
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = blocks[:, :, 128:192].reshape(*halves, 1, 32) >> shifts & 3
    codes = low | high.reshape(low.shape) << 4
    multipliers = np.ascontiguousarray(blocks[:, :, 192:208]).view(np.int8)
    return codes.reshape(*blocks.shape[:2], 256), _half(blocks, 208), multipliers


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


LEVELS = {  # of codes; MXFP4's are 4-bit floats, times 2
    "IQ4_NL": (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113),
    "MXFP4": (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12),
}
GRIDS: dict[str, tuple[Unpack, WeightFormat]] = {
    "Q4_0": (_q4_0, WeightFormat("int4", 32)),
    "IQ4_NL": (_iq4_nl, WeightFormat("code4", 32)),
    "MXFP4": (_mxfp4, WeightFormat("code4", 32)),
    "Q4_1": (_q4_1, WeightFormat("int4", 32, offset=True)),
    "Q6_K": (_q6_k, WeightFormat("int6", 256)),
    "Q8_0": (_q8_0, WeightFormat("int8", 32)),
    "TQ1_0": (_tq1_0, WeightFormat("ternary", 256)),
    "TQ2_0": (_tq2_0, WeightFormat("ternary", 256)),
}
