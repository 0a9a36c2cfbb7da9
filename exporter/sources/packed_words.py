"""Integers of 1 to 8 bits in 32-bit words, one after another, lowest bits first.

GPTQ, AWQ and compressed-tensors share this stream; where a width does not divide 32, a value
straddles two words. 32 values always fill as many words as they have bits.
"""

import numpy as np

PERIOD = 32  # values after which the pattern of words begins anew


def words_for(count: int, bits: int) -> int:
    """Words that hold `count` values."""
    return -(-count * bits // 32)


def unpack(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """int32 or uint32 [rows, words_for(count, bits)] -> uint8 [rows, count]."""
    rows = len(words)
    periods = -(-count // PERIOD)
    flat = np.zeros((rows, periods * bits), np.uint32)
    flat[:, : words.shape[1]] = words.view(np.uint32)
    padded = flat.reshape(rows, periods, bits)
    values = np.empty((rows, periods, PERIOD), np.uint8)
    for i in range(PERIOD):
        word, shift = divmod(i * bits, 32)
        value = padded[:, :, word] >> np.uint32(shift)
        if shift + bits > 32:
            value |= padded[:, :, word + 1] << np.uint32(32 - shift)
        values[:, :, i] = value & np.uint32((1 << bits) - 1)
    return values.reshape(rows, -1)[:, :count]
