"""Where each kernel wants the same weights: int8 -1, 0, 1 [rows, columns] in 2 bits each.

rows are a multiple of 64, columns of 512
"""

import numpy as np

from edge.format import tiles
from edge.format.formats import QuantizedTensor, WeightFormat


def shipped(weights: np.ndarray) -> np.ndarray:
    """edge's own tiles of 16 rows, scales of 1."""
    codes = (weights + 1).astype(np.uint8)
    ones = np.ones((len(codes), 1), np.float32)
    return tiles.pack(QuantizedTensor(WeightFormat("ternary"), codes, ones))


def masks(weights: np.ndarray) -> np.ndarray:
    """For AVX-512: of 16 rows and 8 columns two halves of 8 rows, each a word of bits that are set
    where a weight is 1 and one where it is -1; bit 8 r + c is row r, column c."""
    return np.concatenate([_bits(weights == sign) for sign in (1, -1)], axis=-1)


def _bits(chosen: np.ndarray) -> np.ndarray:
    """uint8 [tiles, eights of columns, halves, 8]"""
    rows, columns = chosen.shape
    parts = chosen.reshape(rows // 16, 2, 8, columns // 8, 8).transpose(0, 3, 1, 2, 4)
    return np.packbits(parts, axis=-1, bitorder="little")[..., 0]


def planes(weights: np.ndarray) -> np.ndarray:
    """For NEON: 16 bytes of bits where weights are 1, 16 where they are -1, of 16 rows and 8
    columns; bit b of byte 8 r + c is row 2 b + r, column c."""
    return np.concatenate([_rows_in_bits(weights == sign) for sign in (1, -1)], axis=-1)


def _rows_in_bits(chosen: np.ndarray) -> np.ndarray:
    rows, columns = chosen.shape
    parts = chosen.reshape(rows // 16, 8, 2, columns // 8, 8).transpose(0, 3, 1, 2, 4)
    packed = np.packbits(parts, axis=2, bitorder="little")  # [tiles, pairs, 1, r, c] of bits
    return packed.reshape(*packed.shape[:2], 16)


def fours(weights: np.ndarray) -> np.ndarray:
    """For look-ups: a byte a row, 64 rows, of 4 columns: low nibble 1s, high nibble -1s."""
    rows, columns = weights.shape
    parts = weights.reshape(rows // 64, 64, columns // 4, 4).transpose(0, 2, 1, 3)
    powers = 1 << np.arange(4)
    plus, minus = (((parts == sign) * powers).sum(axis=3) for sign in (1, -1))
    return (plus + 16 * minus).astype(np.uint8)
