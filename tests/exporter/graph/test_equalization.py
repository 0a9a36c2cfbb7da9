"""Graphs of which factors and middles move from layer to layer."""

from dataclasses import replace

import numpy as np
import pytest

from edge.exporter.graph.equalize import equalize
from edge.exporter.graph.model import GraphModel
from edge.format.graph import Graph, Node, Value
from tests.exporter.graph.rounded_graphs import error, floats, quantized
from tests.exporter.graph.small_graphs import (
    WINDOW,
    convolutions,
    linear,
    matrix,
    samples,
    stack,
)


def behind_a_clip(low=0.0, high=6.0, readers=1):
    """x [N, 6, 6, 32] -> depthwise -> Clip -> product -> y."""
    random = np.random.default_rng(0)
    settings = {key: WINDOW[key] for key in ("strides", "pads", "dilations")}
    nodes = [
        Node("edge.Depthwise", ("x", "dw", "dw_bias"), ("a",), settings),
        Node("Clip", ("a", "low", "high"), ("b",)),
        linear("b", "y", "fc"),
        *(Node("Relu", ("b",), (f"z{i}",)) for i in range(readers - 1)),
    ]
    constants = {
        "dw": random.normal(size=(3, 3, 32)).astype(np.float32),
        "dw_bias": random.normal(size=32).astype(np.float32) + 2,
        "low": np.array(low, np.float32),
        "high": np.array(high, np.float32),
    }
    inputs = (Value("x", "float32", ("N", 6, 6, 32)),)
    outputs = (Value("y", "float32"), *(Value(f"z{i}", "float32") for i in range(readers - 1)))
    graph = Graph(inputs, outputs, tuple(nodes), constants)
    return GraphModel(graph, {"fc": matrix(random, 48, 32, bias=False)})


def test_the_middle_of_a_clipped_range_is_taken_off_for_free():
    model = behind_a_clip()
    data = samples(model)
    found = quantized(model, "int8")
    graph = found.model.graph
    assert [n.op for n in graph.nodes] == ["DequantizeLinear", *(n.op for n in model.graph.nodes)]
    assert "dw_bias" not in graph.constants
    clip = next(n for n in graph.nodes if n.op == "Clip")
    assert [float(graph.constants[name]) for name in clip.inputs[1:]] == [-3, 3]
    assert error(model, found, data) < 0.01
    read = found.stored["fc"].read
    x = np.random.default_rng(3).uniform(0, 6, (100, 32)).astype(np.float32)
    moved = [np.square(read(values) - values).mean() for values in (x, x - 3)]
    assert moved[1] < 0.3 * moved[0]  # half the step: a quarter of its square


@pytest.mark.parametrize(
    "model",
    [behind_a_clip(high=np.inf), behind_a_clip(-1.0, 1.0), behind_a_clip(readers=2)],
    ids=["no upper end", "about zero already", "read by others, too"],
)
def test_what_cannot_be_taken_off_for_free_stays(model):
    assert quantized(model, "int8").stored["fc"].shift == 0


# --- equalization ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [stack(), convolutions()], ids=["linear", "depthwise between"])
def test_equalization_leaves_the_float_model_as_it_is(model):
    data = samples(model)
    for y, z in zip(floats(model, data), floats(equalize(model), data), strict=True):
        np.testing.assert_allclose(z, y, rtol=0, atol=1e-5 * np.abs(y).max())


def test_equalization_gives_both_sides_of_a_channel_the_same_range():
    model = equalize(stack(layers=2))
    before = np.abs(model.matrices["fc0"].weight).max(axis=1)
    after = np.abs(model.matrices["fc1"].weight).max(axis=0)
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_equalization_rescues_a_model_with_one_loud_channel():
    model = stack(layers=2)
    model.matrices["fc0"].weight[5] *= 100
    model.matrices["fc0"].bias[5] *= 100
    model.matrices["fc1"].weight[:, 5] /= 100
    data = samples(model)
    assert error(model, quantized(model, "int8:equalize", data), data) < 0.5 * error(
        model, quantized(model, "int8", data), data
    )


@pytest.mark.parametrize("op", ["Sigmoid", "Clip"])
def test_equalization_stops_at_what_does_not_scale(op):
    model = stack(layers=2)
    nodes = tuple(replace(n, op=op) if n.op == "Relu" else n for n in model.graph.nodes)
    model = replace(model, graph=replace(model.graph, nodes=nodes))
    assert equalize(model).matrices["fc0"] is model.matrices["fc0"]


def test_equalization_leaves_values_alone_that_others_read():
    model = stack(layers=2)
    outputs = (*model.graph.outputs, replace(model.graph.outputs[0], name="b0"))
    model = replace(model, graph=replace(model.graph, outputs=outputs))
    assert equalize(model).matrices["fc0"] is model.matrices["fc0"]
