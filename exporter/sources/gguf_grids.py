"""The grids of GGML's block formats that edge stores as they are, without rounding anything.

The layouts are those of ggml-common.h; an unpacker takes uint8 [rows, blocks of a row, bytes of
a block] and gives codes [rows, blocks, columns], scales [rows, blocks], offsets if the format has
them, and then, if it has two levels, multipliers [rows, blocks, runs] of each.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge.format.formats import CODEBOOK_ROWS, CODES, QuantizedTensor, WeightFormat

from .gguf_blocks import BlockMatrix, i2s_codes, i2s_scale

Parts = tuple[np.ndarray, ...]
Unpack = Callable[[np.ndarray], Parts]


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
    whole: list[np.ndarray] = []
    for at, chunk in matrix.chunks():
        parts = unpack(chunk.reshape(len(chunk), -1, matrix.type.nbytes))
        if parts[0].max() >= CODES[format_.kind].levels:
            return None
        rows = [part.reshape(len(chunk), -1) for part in parts]
        whole = whole or [np.empty((len(matrix.rows), p.shape[1]), p.dtype) for p in rows]
        for out, part in zip(whole, rows, strict=True):
            out[at] = part
    names = ["codes", "scales"] + ["offsets"] * format_.offset
    if format_.multiplier_columns:
        names += ["multipliers"] + ["offset_multipliers"] * format_.offset
    return QuantizedTensor(format_, **dict(zip(names, whole, strict=True)))


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


def _fields(packed: np.ndarray, size: int, bits: int) -> np.ndarray:
    """[rows, blocks, codes]: `size` bytes hold 8 / bits runs of codes, the first in the low bits."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    runs = packed.reshape(*packed.shape[:2], -1, 1, size) >> shifts & np.uint8(2**bits - 1)
    return runs.reshape(*packed.shape[:2], -1)


def _q4_0(blocks: np.ndarray) -> Parts:
    return _fields(blocks[:, :, 2:], 16, 4), _half(blocks, 0)


def _q4_1(blocks: np.ndarray) -> Parts:
    return _fields(blocks[:, :, 4:], 16, 4), _half(blocks, 0), _half(blocks, 2)


def _q5_0(blocks: np.ndarray) -> Parts:
    return _fifth_bits(blocks[:, :, 2:]), _half(blocks, 0)


def _q5_1(blocks: np.ndarray) -> Parts:
    return _fifth_bits(blocks[:, :, 4:]), _half(blocks, 0), _half(blocks, 2)


def _fifth_bits(packed: np.ndarray) -> np.ndarray:
    """4 bytes with a bit a column, then nibbles."""
    high = np.unpackbits(packed[:, :, :4], axis=-1, bitorder="little")
    codes: np.ndarray = _fields(packed[:, :, 4:], 16, 4) | high << 4
    return codes


def _q8_0(blocks: np.ndarray) -> Parts:
    return blocks[:, :, 2:] ^ 0x80, _half(blocks, 0)  # int8 q as q + 128


def _q2_k(blocks: np.ndarray) -> Parts:
    """16 bytes with the multipliers of a run's scale and, above it, of its minimum; then codes."""
    scales, shifts = (
        part.view(np.int8) for part in (blocks[:, :, :16] & 15, blocks[:, :, :16] >> 4)
    )
    codes = _fields(blocks[:, :, 16:80], 32, 2)
    return codes, _half(blocks, 80), -_half(blocks, 82), scales, shifts


def _q3_k(blocks: np.ndarray) -> Parts:
    """32 bytes of third bits, 64 with the two below; a code is q + 4, a multiplier m + 32."""
    codes = _fields(blocks[:, :, 32:96], 32, 2) | _fields(blocks[:, :, :32], 32, 1) << 2
    low, high = _fields(blocks[:, :, 96:104], 8, 4), _fields(blocks[:, :, 104:108], 4, 2)
    return codes, _half(blocks, 108), (low | high << 4).astype(np.int8) - np.int8(32)


def _q4_k(blocks: np.ndarray) -> Parts:
    scales = _half(blocks, 0), -_half(blocks, 2)
    return _fields(blocks[:, :, 16:], 32, 4), *scales, *_six_bits(blocks[:, :, 4:16])


def _q5_k(blocks: np.ndarray) -> Parts:
    codes = _fields(blocks[:, :, 48:], 32, 4) | _fields(blocks[:, :, 16:48], 32, 1) << 4
    return codes, _half(blocks, 0), -_half(blocks, 2), *_six_bits(blocks[:, :, 4:16])


def _six_bits(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 [rows, blocks, 8] twice: 4 bytes a run of four numbers, their upper bits those of the
    next run's, whose low halves are the last 4 bytes' nibbles."""
    first, rest = packed[:, :, :8] & 63, packed[:, :, :8] >> 2 & 0x30
    low, high = packed[:, :, 8:] & 15, packed[:, :, 8:] >> 4
    scales = np.concatenate([first[:, :, :4], rest[:, :, :4] | low], axis=2)
    offsets = np.concatenate([first[:, :, 4:], rest[:, :, 4:] | high], axis=2)
    return scales.view(np.int8), offsets.view(np.int8)


def _iq4_nl(blocks: np.ndarray) -> Parts:
    return _fields(blocks[:, :, 2:], 16, 4), _half(blocks, 0)


def _mxfp4(blocks: np.ndarray) -> Parts:
    """A byte of exponent; where all numbers of a block are 0, it says nothing."""
    codes = _fields(blocks[:, :, 1:], 16, 4)
    scales = np.exp2(blocks[:, :, 0].astype(np.float32) - 128)
    nothing = ~(codes & 7).reshape(*scales.shape, 32).any(axis=2)
    return codes, np.where(nothing, np.float32(0), scales)


def _q6_k(blocks: np.ndarray) -> Parts:
    """Two halves of 128 columns: 64 bytes with a run of 64 low nibbles, then one of high ones;
    32 bytes with four runs of 32 bit pairs above them, lowest bits first."""
    codes = _fields(blocks[:, :, :128], 64, 4) | _fields(blocks[:, :, 128:192], 32, 2) << 4
    return codes, _half(blocks, 208), np.ascontiguousarray(blocks[:, :, 192:208]).view(np.int8)


def _tq1_0(blocks: np.ndarray) -> Parts:
    """Five trits a byte, as the fixed-point fraction t * 256 / 243; the digit is its 3s place."""
    parts = [(0, 32, 5), (32, 48, 5), (48, 52, 4)]  # bytes from, to; trits a byte
    digits = []
    for start, stop, trits in parts:
        powers = np.array([1, 3, 9, 27, 81][:trits], np.uint8)[:, None]
        digits.append((blocks[:, :, None, start:stop] * powers).reshape(*blocks.shape[:2], -1))
    fractions = np.concatenate(digits, axis=-1).astype(np.uint16)
    return (fractions * 3 >> 8).astype(np.uint8), _half(blocks, 52)


def _tq2_0(blocks: np.ndarray) -> Parts:
    return _fields(blocks[:, :, :64], 32, 2), _half(blocks, 64)


LEVELS = {  # of codes; MXFP4's are 4-bit floats, times 2
    "IQ4_NL": (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113),
    "MXFP4": (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12),
}
GRIDS: dict[str, tuple[Unpack, WeightFormat]] = {
    "Q2_K": (_q2_k, WeightFormat("int2", 256, offset=True)),
    "Q3_K": (_q3_k, WeightFormat("int3", 256)),
    "Q4_0": (_q4_0, WeightFormat("int4", 32)),
    "IQ4_NL": (_iq4_nl, WeightFormat("code4", 32)),
    "MXFP4": (_mxfp4, WeightFormat("code4", 32)),
    "Q4_1": (_q4_1, WeightFormat("int4", 32, offset=True)),
    "Q4_K": (_q4_k, WeightFormat("int4", 256, offset=True)),
    "Q5_0": (_q5_0, WeightFormat("int5", 32)),
    "Q5_1": (_q5_1, WeightFormat("int5", 32, offset=True)),
    "Q5_K": (_q5_k, WeightFormat("int5", 256, offset=True)),
    "Q6_K": (_q6_k, WeightFormat("int6", 256)),
    "Q8_0": (_q8_0, WeightFormat("int8", 32)),
    "TQ1_0": (_tq1_0, WeightFormat("ternary", 256)),
    "TQ2_0": (_tq2_0, WeightFormat("ternary", 256)),
}
