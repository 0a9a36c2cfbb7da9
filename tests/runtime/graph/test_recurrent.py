"""Recurrent layers by kernels give what their operators are defined to give."""

from contextlib import closing

import numpy as np
import pytest
from graph_files import Building, in_numpy, kernels_of

from edge.errors import EdgeError, FormatError
from edge.runtime.graph_model import GraphModel

GATES = {"edge.LSTM": 4, "edge.GRU": 3}
STATES = {"edge.LSTM": ("h", "c"), "edge.GRU": ("h",)}
# int8: h lies in -1 .. 1, rounding its codes moves a gate by a few thousandths, a step after the other
CLOSE = {"float32": 1e-5, "float16": 1e-5, "int8": 3e-2}


def floats(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def network(b, op, x, hidden, form, states=(), **attributes):
    """A layer of `hidden` units over x [T, N, 24]: Y and the last states."""
    gates = b.linear(x, 24, GATES[op] * hidden, form)
    weight = b._matrix(b.random.standard_normal((GATES[op] * hidden, hidden)) / hidden**0.5, form)
    count = 1 + len(STATES[op])
    return b(op, gates, *states, outputs=count, weight=weight, **attributes)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("form", CLOSE)
@pytest.mark.parametrize("hidden", [16, 21])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("is_given", [False, True])
def test_layers_of_any_width_and_direction(tmp_path, op, form, hidden, reverse, is_given):
    b, states = Building(), STATES[op] if is_given else ()
    outputs = network(b, op, "x", hidden, form, states, reverse=reverse)
    file = b.write(tmp_path / "m.edge", dict.fromkeys(("x", *states), "float32"), outputs)
    with closing(GraphModel(file, threads=2)) as model:
        for steps, batch in ((7, 3), (1, 1), (3, 9), (7, 3)):
            given = {name: floats(batch, hidden, seed=5) for name in states}
            feeds = {"x": floats(steps, batch, 24), **given}
            for found, wanted in zip(model.run(feeds), in_numpy(file, feeds), strict=True):
                assert found.shape == wanted.shape
                assert np.abs(found - wanted).max() <= CLOSE[form]
        assert kernels_of(model)[1] == []


@pytest.mark.parametrize("op", GATES)
def test_every_library_has_the_kernels(tmp_path, kernels, op):
    b = Building()
    outputs = network(b, op, "x", 21, "int8")
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, outputs)
    feeds = {"x": floats(4, 5, 24)}
    with closing(GraphModel(file, threads=2, kernels=kernels)) as model:
        for found, wanted in zip(model.run(feeds), in_numpy(file, feeds), strict=True):
            assert np.abs(found - wanted).max() <= CLOSE["int8"]


@pytest.mark.parametrize("form", CLOSE)
@pytest.mark.parametrize("hidden", [16, 21])
@pytest.mark.parametrize("is_given", [False, True])
def test_a_reset_before_the_product(tmp_path, form, hidden, is_given):
    b, states = Building(), ("h",) if is_given else ()
    outputs = network(b, "edge.GRU", "x", hidden, form, states, reset_first=1)
    file = b.write(tmp_path / "m.edge", dict.fromkeys(("x", *states), "float32"), outputs)
    with closing(GraphModel(file, threads=2)) as model:
        for steps, batch in ((7, 3), (1, 1)):
            given = {name: floats(batch, hidden, seed=5) for name in states}
            feeds = {"x": floats(steps, batch, 24), **given}
            for found, wanted in zip(model.run(feeds), in_numpy(file, feeds), strict=True):
                assert np.abs(found - wanted).max() <= CLOSE[form]
        assert kernels_of(model)[1] == []


def test_outputs_that_nobody_reads_and_layers_on_layers(tmp_path):
    b = Building()
    y, _, _ = network(b, "edge.LSTM", "x", 24, "float32")
    _, h = network(b, "edge.GRU", y, 24, "float32", reverse=1)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [b("Tanh", h)])
    feeds = {"x": floats(6, 2, 24)}
    with closing(GraphModel(file)) as model:
        assert np.abs(model.run(feeds)[0] - in_numpy(file, feeds)[0]).max() <= 1e-5
        assert kernels_of(model)[1] == []


def test_more_steps_than_ops_are_made_for_run_in_numpy(tmp_path):
    b = Building()
    outputs = network(b, "edge.GRU", "x", 16, "float32")
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, outputs)
    feeds = {"x": floats(2049, 1, 24)}
    with closing(GraphModel(file)) as model:
        assert np.abs(model.run(feeds)[0] - in_numpy(file, feeds)[0]).max() <= 1e-4
        assert kernels_of(model)[1] == ["edge.GRU"]


@pytest.mark.parametrize(
    "op, states, x",
    [
        ("edge.LSTM", ("h", "c"), (3, 2, 4)),
        ("edge.LSTM", ("h", "c"), (2, 3)),
        ("edge.GRU", ("h", "c"), (2, 16)),
        ("edge.GRU", ("h",), (2, 17)),
    ],
)
def test_states_that_do_not_fit_are_refused_before_a_kernel_sees_them(tmp_path, op, states, x):
    b = Building()
    outputs = network(b, op, "x", 16, "float32", states)
    file = b.write(tmp_path / "m.edge", dict.fromkeys(("x", *states), "float32"), outputs)
    feeds = {"x": floats(4, 2, 24), **{name: floats(*x) for name in states}}
    with closing(GraphModel(file)) as model, pytest.raises(FormatError, match="node 1"):
        model.run(feeds)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("shape", [(2, 24), (24,), (1, 4, 2, 24), (4, 2, 25)])
def test_inputs_of_another_rank_or_width_are_an_error(tmp_path, op, shape):
    b = Building()
    outputs = network(b, op, "x", 16, "float32")
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, outputs)
    with closing(GraphModel(file)) as model, pytest.raises(EdgeError, match="node"):
        model.run({"x": floats(*shape)})


@pytest.mark.parametrize("op", GATES)
def test_a_matrix_of_another_layer_is_an_error(tmp_path, op):
    b = Building()
    outputs = network(b, op, "x", 16, "float32")
    b.nodes[1].attributes["weight"] = b.nodes[0].attributes["weight"]
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, outputs)
    with closing(GraphModel(file)) as model, pytest.raises(FormatError, match="node 1"):
        model.run({"x": floats(4, 2, 24)})
