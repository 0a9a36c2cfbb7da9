"""The interpreter says which node cannot do with what reaches it."""

import numpy as np
import pytest

from edge.errors import InputError, UnsupportedModel
from edge.format.graph import Graph, Node, Value
from edge.runtime.graph import interpreter


def graph(*nodes: Node) -> Graph:
    return Graph((Value("x", "float32"),), (Value("y", "float32"),), nodes)


def test_a_node_that_cannot_do_with_its_inputs_is_named_with_their_shapes():
    model = graph(Node("Add", ("x", "x3"), ("y",), {}, "last"))
    values = {"x": np.zeros(2, np.float32), "x3": np.zeros(3, np.float32)}
    with pytest.raises(InputError, match=r"Add 'last' of float32\[2\], float32\[3\]: "):
        interpreter.run(model, values)


def test_an_unknown_operator_is_refused_by_name():
    with pytest.raises(UnsupportedModel, match="Frobnicate 'here'"):
        interpreter.run(graph(Node("Frobnicate", ("x",), ("y",), {}, "here")), {"x": np.zeros(1)})


def test_a_scalar_stays_an_array():
    (y,) = interpreter.run(graph(Node("Add", ("x", "x"), ("y",))), {"x": np.array(1, np.float32)})
    assert isinstance(y, np.ndarray) and y.dtype == np.float32
