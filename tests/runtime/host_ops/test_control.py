"""Graphs inside of nodes: what they see, and what comes of loops that never turn."""

import numpy as np

from edge.format.graph import Graph, Node, Value
from edge.runtime.graph import interpreter


def body(inputs, nodes, outputs, dtype="float32") -> Graph:
    values = [tuple(Value(name, dtype, (2,)) for name in names) for names in (inputs, outputs)]
    return Graph(*values, nodes)


def results(node: Node, **values) -> tuple[np.ndarray, ...]:
    graph = Graph((), tuple(Value(name, "float32") for name in node.outputs), (node,))
    return interpreter.run(graph, {name: np.asarray(value) for name, value in values.items()})


DOUBLED = body(
    ("i", "go", "s"),
    (
        Node("Add", ("s", "outside"), ("s2",)),
        Node("Identity", ("go",), ("go2",)),
        Node("Mul", ("s2", "s2"), ("square",)),
    ),
    ("go2", "s2", "square"),
)
LOOP = Node("Loop", ("turns", "", "s"), ("last", "squares"), {"body": DOUBLED})


def test_a_loop_sees_what_is_around_it_and_stacks_what_each_turn_gives():
    last, squares = results(LOOP, turns=3, s=np.float32([1, 2]), outside=np.float32([1, 1]))
    assert last.tolist() == [4, 5]
    assert squares.tolist() == [[4, 9], [9, 16], [16, 25]]


def test_a_loop_of_no_turn_gives_an_empty_array_of_the_declared_type():
    last, squares = results(LOOP, turns=0, s=np.float32([1, 2]), outside=np.float32([1, 1]))
    assert last.tolist() == [1, 2]
    assert squares.shape == (0, 2) and squares.dtype == np.float32


def test_a_scan_goes_backwards_over_an_axis_and_lays_its_output_along_another():
    total = Graph(
        (Value("s", "float32"), Value("x", "float32")),
        (Value("s2", "float32"), Value("kept", "float32")),
        (Node("Add", ("s", "x"), ("s2",)), Node("Identity", ("s2",), ("kept",))),
    )
    attributes = {"body": total, "num_scan_inputs": 1, "scan_input_axes": (1,)}
    attributes |= {"scan_input_directions": (1,), "scan_output_axes": (1,)}
    node = Node("Scan", ("s", "x"), ("last", "steps"), attributes)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    last, steps = results(node, s=np.zeros(2, np.float32), x=x)
    assert last.tolist() == x.sum(axis=1).tolist()
    np.testing.assert_array_equal(steps, np.cumsum(x[:, ::-1], axis=1))


def test_a_branch_runs_only_if_it_is_chosen():
    broken = Graph((), (Value("y", "float32"),), (Node("Frobnicate", (), ("y",)),))
    whole = Graph((), (Value("z", "float32"),), (Node("Neg", ("x",), ("z",)),))
    node = Node("If", ("c",), ("out",), {"then_branch": whole, "else_branch": broken})
    assert results(node, c=True, x=np.float32(3))[0] == -3
