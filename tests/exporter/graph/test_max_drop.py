"""Layers of a graph that stay floats, since quantizing them costs too much."""

from dataclasses import replace

import numpy as np
import pytest

from edge.errors import RecipeError
from edge.exporter.graph.activity import observe
from edge.exporter.graph.fallback import MaxDrop, fall_back, rank
from edge.exporter.graph.plan import plan
from edge.exporter.graph.quantization import quantize_graph
from edge.exporter.language import parse
from edge.format.graph import Node
from tests.exporter.graph.rounded_graphs import error, quantized
from tests.exporter.graph.small_graphs import (
    samples,
    stack,
)


def hurt(model):
    """fc1 reads one number that is far larger than the others: a scale a token fits none of them."""
    model.matrices["fc0"].weight[7] *= 2000
    model.matrices["fc1"].weight[:, 7] /= 2000
    return model


def test_the_layer_that_hurts_most_is_ranked_first():
    model = hurt(stack())
    data = samples(model)
    assert rank(model, quantized(model, "int8", data), data.some(2))[0] == "fc1"


def test_as_few_layers_as_needed_fall_back_to_floats():
    model = hurt(stack())
    data = samples(model)
    made = plan(model, parse("int8", graph=True))
    found, notes = fall_back(model, made, observe(model, data), data, MaxDrop(0.03))
    kinds = {name: str(stored.format) for name, stored in found.stored.items()}
    assert kinds == {"fc0": "int8", "fc1": "float16", "fc2": "int8"}
    assert error(model, found, data) <= 0.03 < error(model, quantized(model, "int8"), data)
    assert "1 of 3 matrices stay floats" in notes[0]


def test_nothing_falls_back_where_the_drop_is_small():
    model = stack()
    data = samples(model)
    made = plan(model, parse("int8", graph=True))
    found, notes = fall_back(model, made, observe(model, data), data, MaxDrop(0.5))
    assert {str(s.format) for s in found.stored.values()} == {"int8"}
    assert "no layer falls back" in notes[0]


def test_a_drop_that_floats_cannot_meet_either_is_an_error():
    model = stack()
    data = samples(model)
    made = plan(model, parse("int8", graph=True))
    with pytest.raises(RecipeError, match="every layer in floats"):
        fall_back(model, made, observe(model, data), data, MaxDrop(0.0))


def test_the_drop_of_a_classifier_counts_answers():
    drop = MaxDrop.parse("top1:0.01")
    expected, found = np.eye(4), np.eye(4)
    found[0] = [0, 2, 0, 0]
    assert (drop.measure, drop.limit) == ("top1", 0.01)
    assert drop.of({"y": expected}, {"y": found}) == 0.25


@pytest.mark.parametrize("text", ["much", "-1", "top5:0.1", "2", "nan"])
def test_a_drop_is_a_number_from_0_to_1(text):
    with pytest.raises(RecipeError, match="a drop of"):
        MaxDrop.parse(text)


def test_a_matrix_that_layers_share_is_quantized_once_for_what_all_read():
    model = stack(layers=2)
    shared = tuple(
        replace(n, attributes={"weight": "fc0"}) if n.op == "edge.Linear" else n
        for n in model.graph.nodes
    )
    graph = replace(model.graph, nodes=shared)
    model = replace(model, graph=graph, matrices={"fc0": model.matrices["fc0"]})
    data = samples(model)
    inner = max(np.abs(np.maximum(y, 0)).max() for y in _after_first(model, data))
    largest = max(inner, max(np.abs(sample["x"]).max() for sample in data))
    found = quantized(model, "w8a8s", data).stored["fc0"]
    assert found.activation == pytest.approx(largest / 127, rel=1e-5)


def _after_first(model, data):
    weight, bias = model.dense("fc0")
    return [sample["x"] @ weight.T + bias for sample in data]


def test_layers_inside_control_flow_are_quantized_without_data():
    inner = replace(stack(layers=1).graph, inputs=(), outputs=stack(layers=1).graph.outputs)
    model = stack(layers=1)
    branch = Node("If", ("c",), ("z",), {"then_branch": inner, "else_branch": inner})
    model = replace(model, graph=replace(model.graph, nodes=(branch,)))
    found = quantize_graph(model, plan(model, parse("int8", graph=True)), {})
    assert str(found.stored["fc0"].format) == "int8"
