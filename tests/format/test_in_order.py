"""The order in which a matrix reads its input: what a header and a file may say of it."""

import re

import numpy as np
import pytest

from edge.errors import FormatError
from edge.format import beside
from edge.format.in_order import check, check_permutation
from edge.format.reader import EdgeFile
from edge.format.spec import TensorInfo
from tests.format import small_file
from tests.format.small_file import LAYER, TENSORS, with_order

QUERY = LAYER + "attention.query"


def declared(tensors) -> dict[str, TensorInfo]:
    return {n: TensorInfo(n, *t, 0, 0, "") for n, t in tensors.items()}


def test_a_file_with_an_order_opens_and_keeps_it(tmp_path):
    path = tmp_path / "ordered.edge"
    small_file.write(path, tensors=with_order(TENSORS, QUERY))
    file = EdgeFile(path)
    assert sorted(beside.order(file, QUERY)) == list(range(32))
    assert beside.order(file, LAYER + "attention.key") is None
    assert file.document["version"] == 3  # readers of the second would read in the wrong order


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({f"{QUERY}.in_order": ("indices", (31,))}, "expected indices [32], found indices [31]"),
        ({f"{QUERY}.in_order": ("indices", (33,))}, "expected indices [32], found indices [33]"),
        ({f"{QUERY}.in_order": ("vector", (32,))}, "expected indices [32], found vector [32]"),
        ({"other.in_order": ("indices", (32,))}, "expected a matrix other.weight of codes"),
        ({"output_norm.in_order": ("indices", (32,))}, "expected a matrix output_norm.weight"),
        ({"embedding.in_order": ("indices", (32,))}, "expected a matrix embedding.weight"),
        ({f"{LAYER}feed_forward.up.in_order": ("indices", (32,))}, "up.weight of codes"),
    ],
)
def test_an_order_that_does_not_belong_to_its_matrix_is_refused(changes, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        check(declared(TENSORS | changes), "decoder")


def test_a_graph_has_no_orders():
    tensors = declared(with_order(TENSORS, QUERY))
    check(tensors, "encoder")
    with pytest.raises(ValueError, match="a graph's matrices read their inputs as they are"):
        check(tensors, "graph")


@pytest.mark.parametrize("order", [[0], [2, 0, 1], [0, 1, 2, 3]])
def test_permutations_pass(order):
    check_permutation(np.array(order, np.int32))


@pytest.mark.parametrize(
    "order", [[1], [-1, 0], [0, 2], [0, 0], [1, 2, 1], [0, 2**31 - 1], [0, -(2**31)]]
)
def test_other_orders_are_refused(order):
    with pytest.raises(ValueError, match=f"expected each of 0..{len(order) - 1} once"):
        check_permutation(np.array(order, np.int32))


def test_the_error_names_file_and_matrix(tmp_path):
    path = tmp_path / "twice.edge"
    contents = {f"{QUERY}.in_order": np.zeros(32)}
    small_file.write(path, tensors=with_order(TENSORS, QUERY), contents=contents)
    with pytest.raises(FormatError, match=re.escape(f"{path}: matrix '{QUERY}': an order of")):
        beside.order(EdgeFile(path), QUERY)
