"""Work that a graph needs not do when it runs is not in it."""

import numpy as np
import pytest

from edge.exporter.graph.model import GraphModel
from edge.exporter.graph.simplify import simplify
from edge.exporter.graph.simplify.fold import GROWN_MOST
from edge.format.graph import Graph, Node, Value


def simplified(nodes, constants=(), outputs=("y",), shape=("N", 4)):
    graph = Graph(
        (Value("x", "float32", shape),),
        tuple(Value(name, "float32") for name in outputs),
        tuple(nodes),
        dict(constants),
    )
    return simplify(GraphModel(graph)).graph


def ops(graph):
    return [node.op for node in graph.walk()]


def test_what_constants_give_is_a_constant():
    two = np.array([2.0], np.float32)
    graph = simplified(
        [Node("Add", ("a", "a"), ("s",)), Node("Mul", ("x", "s"), ("y",))], {"a": two}
    )
    assert ops(graph) == ["Mul"]
    assert [c.tolist() for c in graph.constants.values()] == [[4.0]]


def test_sizes_that_are_fixed_are_constants_whatever_the_others_are():
    nodes = [
        Node("Shape", ("x",), ("shape",)),
        Node("Gather", ("shape", "one"), ("columns",)),
        Node("Add", ("columns", "one"), ("more",)),
        Node("Concat", ("minus", "more"), ("target",), {"axis": 0}),
        Node("Reshape", ("z", "target"), ("y",)),
        Node("Pad", ("x", "pads"), ("z",)),
    ]
    nodes = [*nodes[:4], nodes[5], nodes[4]]
    constants = {"one": np.array([1]), "minus": np.array([-1]), "pads": np.array([0, 0, 0, 1])}
    graph = simplified(nodes, constants)
    assert ops(graph) == ["Pad", "Reshape"]
    assert graph.constants[graph.nodes[1].inputs[1]].tolist() == [-1, 5]


def test_a_size_that_is_not_fixed_is_still_looked_up():
    nodes = [
        Node("Shape", ("x",), ("shape",)),
        Node("Gather", ("shape", "zero"), ("rows",)),
        Node("Expand", ("x", "rows"), ("y",)),
    ]
    assert ops(simplified(nodes, {"zero": np.array([0])})) == ["Shape", "Gather", "Expand"]


def test_the_branch_of_a_known_condition_takes_the_place_of_its_if():
    branches = {
        f"{name}_branch": Graph((), (Value(f"{name}.y", ""),), (Node(op, ("x",), (f"{name}.y",)),))
        for name, op in (("then", "Neg"), ("else", "Abs"))
    }
    for condition, op in ((True, "Neg"), (False, "Abs")):
        graph = simplified([Node("If", ("c",), ("y",), branches)], {"c": np.array(condition)})
        assert ops(graph) == [op] and graph.nodes[0].outputs == ("y",)
        assert not graph.constants


def test_copies_are_gone_and_outputs_keep_their_names():
    nodes = [
        Node("Identity", ("x",), ("a",)),
        Node("Relu", ("a",), ("b",)),
        Node("Dropout", ("b",), ("c",)),
        Node("Cast", ("c",), ("d",), {"to": "float32"}),
        Node("Identity", ("d",), ("y",)),
        Node("Identity", ("x",), ("z",)),
    ]
    graph = simplified(nodes, outputs=("y", "z"))
    assert ops(graph) == ["Relu", "Identity"]
    assert graph.nodes[0].inputs == ("x",) and graph.nodes[0].outputs == ("y",)
    assert graph.nodes[1].outputs == ("z",)


def test_what_is_computed_twice_is_computed_once():
    nodes = [
        Node("Relu", ("x",), ("a",)),
        Node("Relu", ("x",), ("b",)),
        Node("Add", ("a", "b"), ("y",)),
    ]
    graph = simplified(nodes)
    assert ops(graph) == ["Relu", "Add"] and graph.nodes[1].inputs == ("a", "a")


def test_random_numbers_are_drawn_as_often_as_the_model_says():
    nodes = [
        Node("RandomNormalLike", ("x",), ("a",)),
        Node("RandomNormalLike", ("x",), ("b",)),
        Node("Add", ("a", "b"), ("y",)),
    ]
    assert len(ops(simplified(nodes))) == 3


def test_what_nobody_reads_is_gone():
    nodes = [Node("Relu", ("x",), ("y",)), Node("Add", ("y", "w"), ("unread",))]
    graph = simplified(nodes, {"w": np.ones(4, np.float32), "v": np.ones(4, np.float32)})
    assert ops(graph) == ["Relu"] and not graph.constants


@pytest.mark.parametrize("more, op", [(0, "Add"), (1, "ConstantOfShape")])
def test_nothing_grows_beyond_a_bound(more, op):
    """An element, of whatever type, counts eight bytes."""
    count = GROWN_MOST // 8 + more
    nodes = [
        Node("ConstantOfShape", ("n",), ("zeros",), {"value": np.zeros(1, np.float32)}),
        Node("Add", ("x", "zeros"), ("y",)),
    ]
    graph = simplified(nodes, {"n": np.array([count])}, shape=("N", 1))
    assert ops(graph)[0] == op


def test_a_node_that_cannot_be_computed_stays():
    bad = {"a": np.zeros(3, np.float32), "b": np.zeros(4, np.float32)}
    nodes = [Node("Add", ("a", "b"), ("s",)), Node("Add", ("x", "s"), ("y",))]
    assert ops(simplified(nodes, bad)) == ["Add", "Add"]


def test_weights_of_a_quantized_model_stay_as_they_are():
    constants = {"q": np.array([[1, 2]], np.int8), "scale": np.array(0.5, np.float32)}
    nodes = [
        Node("DequantizeLinear", ("q", "scale"), ("w",)),
        Node("Add", ("x", "w"), ("y",)),
    ]
    assert ops(simplified(nodes, constants)) == ["DequantizeLinear", "Add"]
