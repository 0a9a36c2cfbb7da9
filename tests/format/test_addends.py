"""What rides beside a matrix: its meaning, and what a header may say of it."""

import re

import numpy as np
import pytest

from edge.format.addends import (
    PARTS,
    Addends,
    LowRank,
    Outliers,
    Sparse,
    check,
    check_columns,
    check_entries,
)
from edge.format.reader import EdgeFile
from edge.format.spec import TensorInfo
from tests.format import small_file
from tests.format.small_file import LAYER, TENSORS, with_addends

QUERY = LAYER + "attention.query"


def declared(changes) -> dict[str, TensorInfo]:
    """The infos of a matrix of 32 x 32 with all addends, some changed or left out."""
    tensors = with_addends(TENSORS, QUERY) | {f"{QUERY}.{n}": t for n, t in changes.items()}
    return {n: TensorInfo(n, *t, 0, 0, "") for n, t in tensors.items() if t is not None}


def test_addends_are_parts_of_a_sum():
    values = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    addends = Addends(
        Outliers(np.array([1]), np.array([[0.5], [-0.5]], np.float32)),
        Sparse.of(np.float32(10) * values, np.array([[0, 0, 1], [1, 0, 0]], bool)),
        LowRank(np.array([[1], [2]], np.float32), np.array([[1, 0, -1]], np.float32)),
    )
    assert addends.add_to(values).tolist() == [[2, 0.5, 32], [46, -0.5, 4]]
    assert Addends().add_to(values).tolist() == values.tolist()


def test_sparse_entries_lie_row_after_row():
    """A column in the lower half of a word, a float16 in the upper one."""
    matrix = np.zeros((17, 4), np.float32)
    matrix[0, 3], matrix[16, 0], matrix[16, 2] = 1.0, -2.0, 0.5
    sparse = Sparse.of(matrix, matrix != 0)
    assert sparse.rows.tolist() == [0, *[1] * 16, *[3] * 16]
    assert sparse.entries.view("u4").tolist() == [0x3C000003, 0xC0000000, 0x38000002]
    assert np.array_equal(sparse.dense(17, 4), matrix)


def test_a_file_with_addends_opens_and_keeps_them(tmp_path):
    path = tmp_path / "addends.edge"
    small_file.write(path, tensors=with_addends(TENSORS, QUERY))
    file = EdgeFile(path)
    assert {f"{QUERY}.{part}" for part in PARTS} <= file.tensors.keys()
    assert file.read_indices(f"{QUERY}.outlier_columns").tolist() == [0, 10, 21]
    assert file.verify() == []
    assert file.document["version"] == 2  # readers of the first would leave addends out


def test_a_whole_set_passes():
    check(declared({}))


@pytest.mark.parametrize(
    "changes, reason",
    [
        *(({part: None}, f"'{QUERY}.{part}' is missing") for part in PARTS),
        ({"weight": None}, "expected a matrix"),
        ({"weight": ("vector", (32,))}, "expected a matrix"),
        ({"weight": ("float16", (32, 32))}, "a matrix of float16 has no outliers"),
        ({"outlier_columns": ("vector", (3,))}, "expected indices [3], found vector"),
        ({"outlier_columns": ("indices", (4,))}, "expected float16 [32, 4]"),
        ({"outlier_columns": ("indices", (33,))}, "expected indices [32]"),
        ({"outlier_weight": ("float32", (32, 3))}, "expected float16 [32, 3], found float32"),
        ({"outlier_weight": ("float16", (16, 3))}, "expected float16 [32, 3]"),
        ({"sparse_rows": ("indices", (32,))}, "expected indices [33]"),
        ({"sparse_entries": ("vector", (3,))}, "expected indices [3]"),
        ({"sparse_entries": ("indices", (1025,))}, "expected indices [1024]"),
        ({"low_rank_left": ("float16", (32, 4))}, "expected float16 [32, 3]"),
        ({"low_rank_left": ("float16", (31, 3))}, "expected float16 [32, 3]"),
        ({"low_rank_right": ("float16", (3, 31))}, "expected float16 [3, 32]"),
        ({"low_rank_right": ("float16", (33, 32))}, "expected float16 [32, 32]"),
        ({"low_rank_right": ("int8", (3, 32))}, "expected float16 [3, 32]"),
    ],
)
def test_what_does_not_belong_to_its_matrix_is_refused(changes, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        check(declared(changes))


def test_a_matrix_of_too_many_columns_has_no_entries():
    infos = {
        name: TensorInfo(name, form, shape, 0, 0, "")
        for name, form, shape in (
            ("a.weight", "int8", (16, 65537)),
            ("a.sparse_rows", "indices", (17,)),
            ("a.sparse_entries", "indices", (1,)),
        )
    }
    with pytest.raises(ValueError, match="at most 65536 columns"):
        check(infos)


def test_an_embedding_is_looked_up_and_has_none():
    tensors = {
        "embedding.weight": ("int8", (40, 32)),
        "embedding.low_rank_left": ("float16", (40, 1)),
        "embedding.low_rank_right": ("float16", (1, 32)),
    }
    with pytest.raises(ValueError, match=re.escape("matrix embedding.weight that can have")):
        check({n: TensorInfo(n, *t, 0, 0, "") for n, t in tensors.items()})


@pytest.mark.parametrize("columns", [[0], [7], [0, 3, 7]])
def test_rising_columns_pass(columns):
    check_columns(np.array(columns, np.int32), 8)


@pytest.mark.parametrize("columns", [[8], [-1], [0, 0], [3, 2], [2**31 - 1], [-(2**31), 5]])
def test_other_columns_are_refused(columns):
    with pytest.raises(ValueError, match=re.escape("rise within 0..7")):
        check_columns(np.array(columns, np.int32), 8)


@pytest.mark.parametrize(
    "rows, entries",
    [
        ([0, 1, 2, 2], [0, 3]),
        ([0, 0, 2, 2], [3, 3]),
    ],
)
def test_entries_of_a_matrix_pass(rows, entries):
    check_entries(np.array(rows, np.int32), np.array(entries, np.int32), (2, 4))


@pytest.mark.parametrize(
    "rows, entries",
    [
        ([1, 1, 2, 2], [0, 3]),  # the first entry is nobody's
        ([0, 1, 3, 3], [0, 3]),
        ([0, 1, 1, 2], [0, 3]),  # a row of padding has one
        ([0, 2, 1, 2], [0, 3]),
        ([0, 1, 2, 1], [0, 3]),
        ([0, 1, 2, 2], [0, 4]),
        ([0, 1, 2, 2], [0, 0xFFFF]),
    ],
)
def test_other_entries_are_refused(rows, entries):
    with pytest.raises(ValueError, match="sparse entries, expected"):
        check_entries(np.array(rows, np.int32), np.array(entries, np.int32), (2, 4))
