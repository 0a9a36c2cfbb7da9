"""Branches that shapes decide run with what is around them; others when their condition is known."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from graph_files import Building, in_numpy, kernels_of

from edge.errors import EdgeError
from edge.format.graph import Graph, Node, Value
from edge.runtime.graph_model import GraphModel


def branch(*nodes, output):
    return Graph((), (Value(output, "float32"),), nodes)


def is_long(b, x, axis=0):
    """Whether an axis of x is longer than 2."""
    size = b("Gather", b("Shape", x), b.constant(np.int64(axis)), axis=0)
    return b("Greater", size, b.constant(np.int64(2)))


def branching(b, x, names=("then", "else")):
    """Relu(x) of a long x, else -x: as exporters write what depends on a size."""
    return b(
        "If",
        is_long(b, x),
        then_branch=branch(Node("Relu", (x,), (names[0],)), output=names[0]),
        else_branch=branch(Node("Neg", (x,), (names[1],)), output=names[1]),
    )


def floats(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run_alike(tmp_path, b, outputs, shapes, **more):
    """Names of operators that NumPy ran, and how many stretches have been bound."""
    dtypes = {"x": "float32"} | {name: str(value.dtype) for name, value in more.items()}
    file = b.write(tmp_path / "m.edge", dtypes, outputs)
    with closing(GraphModel(file)) as model:
        for shape in shapes:
            feeds = {"x": floats(*shape), **more}
            for found, wanted in zip(model.run(feeds), in_numpy(file, feeds), strict=True):
                assert found.shape == wanted.shape
                assert np.allclose(found, wanted, rtol=1e-5, atol=1e-6)
        return kernels_of(model)[1], len(list(model.programs()))


def test_a_branch_by_a_size_is_part_of_one_program_for_each_shape(tmp_path):
    b = Building()
    y = b.linear(branching(b, b.linear("x", 8, 8)), 8, 5)
    operators, programs = run_alike(tmp_path, b, [y], [(4, 8), (2, 8), (4, 8), (3, 8)])
    assert operators == [] and programs == 3


def test_a_branch_in_a_branch(tmp_path):
    b = Building()
    x = b.linear("x", 8, 8)
    condition = is_long(b, x, axis=1)
    inner = branching(b, x)
    nodes = b.nodes[4:]
    y = b(
        "If",
        condition,
        then_branch=branch(*nodes, output=inner),
        else_branch=branch(Node("Neg", (x,), ("other",)), output="other"),
    )
    z = b("Tanh", y)
    del b.nodes[4:-2]
    operators, programs = run_alike(tmp_path, b, [z], [(4, 8), (2, 8)])
    assert operators == [] and programs == 2


def test_branches_that_use_a_name_twice_stay_apart(tmp_path):
    b = Building()
    y = branching(b, b.linear("x", 8, 8), names=("same", "same"))
    run_alike(tmp_path, b, [b("Tanh", y)], [(4, 8), (2, 8)])


@pytest.mark.parametrize("flag", [True, False])
def test_a_condition_that_is_fed_is_asked_for_at_every_run(tmp_path, flag):
    """Values of inputs bind nothing: the next run may have others."""
    b = Building()
    y = b(
        "If",
        "flag",
        then_branch=branch(Node("Relu", ("x",), ("then",)), output="then"),
        else_branch=branch(Node("Neg", ("x",), ("else",)), output="else"),
    )
    file = b.write(tmp_path / "m.edge", {"x": "float32", "flag": "bool"}, [b("Tanh", y)])
    with closing(GraphModel(file)) as model:
        for value in (flag, not flag, flag):
            feeds = {"x": floats(3, 8), "flag": np.array(value)}
            assert np.allclose(model.run(feeds)[0], in_numpy(file, feeds)[0], atol=1e-6)


def test_constants_are_known_inside_of_branches(tmp_path):
    """A depthwise convolution needs to see its weights before it runs."""
    b = Building()
    weights = b.floats(3, 3, 8)
    window = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    node = Node("edge.Depthwise", ("x", weights, ""), ("then",), window)
    other = branch(Node("Neg", ("x",), ("else",)), output="else")
    y = b("If", "flag", then_branch=branch(node, output="then"), else_branch=other)
    flag = np.array(True)
    operators, _ = run_alike(tmp_path, b, [b("Tanh", y)], [(1, 5, 5, 8)], flag=flag)
    assert operators == []


def without_a_branch(b, node):
    del node.attributes["else_branch"]


def without_a_condition(b, node):
    b.nodes[b.nodes.index(node)] = replace(node, inputs=())


def with_inputs(b, node):
    inner = node.attributes["else_branch"]
    node.attributes["else_branch"] = replace(inner, inputs=(Value("z", "float32"),))


def with_fewer_outputs(b, node):
    node.attributes["else_branch"] = replace(node.attributes["else_branch"], outputs=())


@pytest.mark.parametrize(
    "spoil", [without_a_branch, without_a_condition, with_inputs, with_fewer_outputs]
)
def test_branches_that_are_not_whole_are_an_error(tmp_path, spoil):
    b = Building()
    y = branching(b, "x")
    spoil(b, b.nodes[-1])
    z = b("Tanh", y)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [z])
    with closing(GraphModel(file)) as model, pytest.raises(EdgeError, match="If"):
        model.run({"x": floats(2, 8)})
