"""Constants that a file has in few bits, widened when it is opened."""

import numpy as np
import pytest

from edge.errors import InputError
from edge.format.graph import Graph, Node, Value
from edge.runtime.graph.widened import widened

CODES = np.arange(16, dtype=np.int8).reshape(4, 4)


def graph(scales, op="DequantizeLinear", **attributes):
    inputs = ("w", "s") if op == "DequantizeLinear" else ("w",)
    nodes = (Node(op, inputs, ("f",), attributes), Node("MatMul", ("x", "f"), ("y",)))
    values = (Value("x", "float32", ("N", 4)),), (Value("y", "float32"),)
    return Graph(*values, nodes, {"w": CODES, "s": np.asarray(scales, np.float32)})


def test_what_reads_constants_alone_is_done_once():
    opened = widened(graph(np.full(4, 0.5), axis=1))
    assert [n.op for n in opened.nodes] == ["MatMul"]
    np.testing.assert_array_equal(opened.constants["f"], CODES * np.float32(0.5))
    opened = widened(graph([1], "Cast", to="float32"))
    np.testing.assert_array_equal(opened.constants["f"], CODES.astype(np.float32))


def test_a_graph_without_such_constants_is_left_as_it_is():
    plain = graph([1])
    plain = Graph(plain.inputs, plain.outputs, plain.nodes[1:], {"f": np.eye(4)})
    assert widened(plain) is plain


def test_blocks_larger_than_their_axis_take_no_more_memory_than_it():
    opened = widened(graph(np.ones((1, 4)), axis=0, block_size=2**60))
    np.testing.assert_array_equal(opened.constants["f"], CODES)


@pytest.mark.parametrize("scales", [np.ones(3), np.ones((2, 3))])
def test_scales_that_do_not_fit_are_an_error_in_a_line(scales):
    with pytest.raises(InputError, match="DequantizeLinear of 'f'"):
        widened(graph(scales, axis=0, block_size=2))
