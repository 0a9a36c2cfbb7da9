"""Integers in 32-bit words, against the plain definition: bits of one long number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.exporter.sources.packed_words import unpack, words_for


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """A row of values as words: value i is at bit i * bits of the row."""
    row = sum(int(value) << i * bits for i, value in enumerate(values))
    size = 4 * words_for(len(values), bits)
    return np.frombuffer(row.to_bytes(size, "little"), np.int32)


@given(bits=st.integers(1, 8), data=st.data())
def test_values_come_back(bits, data):
    rows = data.draw(st.integers(1, 3))
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=100))
    matrix = np.array([np.roll(values, i) for i in range(rows)], np.uint8)
    words = np.stack([packed(row, bits) for row in matrix])
    np.testing.assert_array_equal(unpack(words, bits, len(values)), matrix)


def test_words_of_a_column_may_lie_apart():
    """GPTQ packs down the columns: a transposed view must unpack as a copy does."""
    words = np.random.default_rng(0).integers(-(2**31), 2**31, (6, 5)).astype(np.int32)
    np.testing.assert_array_equal(unpack(words.T, 3, 64), unpack(words.T.copy(), 3, 64))


@pytest.mark.parametrize("bits, count, words", [(4, 8, 1), (4, 9, 2), (3, 32, 3), (3, 11, 2)])
def test_the_last_word_may_be_half_empty(bits, count, words):
    assert words_for(count, bits) == words
