"""Columns taken and taken out, and sparse entries, by every library."""

import machine
import numpy as np
import pytest

from edge.format.addends import Sparse

SHAPES = [(1, 1), (16, 40), (17, 96), (50, 300)]


def padded(array: np.ndarray) -> np.ndarray:
    """Rows as the runtime pads them: zeros to 64 elements."""
    return machine.aligned(np.pad(array, ((0, 0), (0, -array.shape[1] % 64))))


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("tokens, width", [(1, 16), (5, 80), (9, 320)])
def test_columns_are_taken_out_of_a_copy(kernels, tokens, width, count):
    rng = np.random.default_rng([tokens, width])
    x = padded(rng.standard_normal((tokens, width)).astype(np.float32))
    columns = np.sort(rng.choice(width, count, replace=False)).astype(np.int32)
    rest, taken = padded(np.full_like(x, np.nan)), padded(np.zeros((tokens, count), np.float32))
    end, listed, before = np.array([tokens]), machine.aligned(columns), x.copy()
    at = machine.address
    arguments = (
        at(end), at(x), x.strides[0], at(rest), rest.strides[0], width,
        at(listed), count, at(taken), taken.strides[0],
    )  # fmt: skip
    machine.run(kernels, "take-out", arguments, -(-tokens // 4))
    kept = np.setdiff1d(np.arange(width), columns)
    assert np.array_equal(x, before)
    assert np.array_equal(taken[:, :count], x[:, columns]) and not rest[:, columns].any()
    assert np.array_equal(rest[:, kept], x[:, kept])
    assert np.isnan(rest[:, width:]).all()


@pytest.mark.parametrize("tokens, columns", [(1, 1), (5, 79), (9, 300)])
def test_columns_are_taken_in_an_order(kernels, tokens, columns):
    rng = np.random.default_rng([tokens, columns])
    x = padded(rng.standard_normal((tokens, columns)).astype(np.float32))
    out, before = padded(np.full_like(x, np.nan)), x.copy()
    order = rng.permutation(columns).astype(np.int32)
    end, listed, at = np.array([tokens]), machine.aligned(order), machine.address
    arguments = (
        at(end), at(x), x.strides[0], at(out), out.strides[0], -(-columns // 16) * 16,
        at(listed), columns,
    )  # fmt: skip
    machine.run(kernels, "take-columns", arguments, -(-tokens // 4))
    assert np.array_equal(x, before) and np.array_equal(out[:, :columns], x[:, order])
    assert np.isnan(out[:, columns:]).all()


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("rows, columns", SHAPES)
def test_sparse_entries_are_added(kernels, rows, columns, share):
    rng = np.random.default_rng([rows, columns])
    matrix = rng.standard_normal((rows, columns)).astype(np.float16).astype(np.float32)
    where = rng.random(matrix.shape) < share
    where[0, -1] = True
    sparse = Sparse.of(matrix, where)
    begins, entries = machine.aligned(sparse.rows), machine.aligned(sparse.entries)
    x = padded(rng.standard_normal((7, columns)).astype(np.float32))
    height, at = len(sparse.rows) - 1, machine.address
    for first in (0, 5):
        sums = padded(rng.standard_normal((7 - first, height)).astype(np.float32))
        before, registers = sums.copy(), np.array([first, 7])
        arguments = (
            at(registers), at(registers) + 8, height, 32, at(begins), at(entries),
            at(x), x.strides[0], at(sums), sums.strides[0],
        )  # fmt: skip
        machine.run(kernels, "sparse-add", arguments, -(-height // 32))
        kept = (matrix * where).astype(np.float64)
        wanted = before[:, :rows] + x[first:, :columns] @ kept.T
        terms = np.abs(before[:, :rows]) + np.abs(x[first:, :columns]) @ np.abs(kept).T
        assert (np.abs(sums[:, :rows] - wanted) <= 2.0**-23 * (columns + 2) * terms).all()
        assert np.array_equal(sums[:, rows:], before[:, rows:])
