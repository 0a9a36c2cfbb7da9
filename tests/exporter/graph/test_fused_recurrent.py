"""Recurrent layers as edge's own, by ONNX's definition and by ONNX Runtime."""

from dataclasses import replace

import numpy as np
import pytest

from edge.exporter.graph.fuse.recurrent import make_recurrent
from edge.exporter.graph.model import GraphModel
from tests.exporter.graph.building import Building, assert_same, ops, outputs, random

T, N, I, H = 5, 3, 7, 6
GATES = {"LSTM": 4, "GRU": 3}
SETTINGS = {"LSTM": {}, "GRU": {"linear_before_reset": 1}}
STATES = {"LSTM": ("h", "c"), "GRU": ("h",)}


def layer(op, *, direction="forward", bias=True, states=False, layout=0, **attributes):
    """The model and its inputs."""
    d, gates = 2 if direction == "bidirectional" else 1, GATES[op]
    shapes = {"x": (T, N, I), "h": (d, N, H), "c": (d, N, H)}
    if layout:
        shapes = {name: (b, a, size) for name, (a, b, size) in shapes.items()}
    b = Building(**shapes)
    given = STATES[op] if states else ()
    biases = random(d, 2 * gates * H, seed=3) if bias else ""
    weights = (random(d, gates * H, I, seed=1) / 2, random(d, gates * H, H, seed=2) / 2)
    count = 1 + len(STATES[op])
    found = b(
        op, "x", *weights, biases, "", *given, outputs=count, direction=direction, hidden_size=H,
        layout=layout, **{**SETTINGS[op], **attributes},
    )  # fmt: skip
    inputs = [random(*shape, seed=10 + i) for i, shape in enumerate(shapes.values())]
    return b.model(*found), inputs


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("layout", [0, 1])
def test_layers_in_every_direction(op, direction, bias, states, layout):
    before, inputs = layer(op, direction=direction, bias=bias, states=states, layout=layout)
    after = make_recurrent(before)
    directions = 2 if direction == "bidirectional" else 1
    assert ops(after).count(f"edge.{op}") == ops(after).count("edge.Linear") == directions
    assert op not in ops(after)
    assert_same(before, after, *inputs)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_they_give_what_onnx_runtime_gives(tmp_path, op, direction):
    onnx = pytest.importorskip("onnx", reason="the dev extra has it")
    runtime = pytest.importorskip("onnxruntime", reason="the dev extra has it")
    model, inputs = layer(op, direction=direction, states=True)
    graph = model.graph
    make, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    (node,) = graph.nodes
    written = onnx.helper.make_graph(
        [onnx.helper.make_node(node.op, node.inputs, node.outputs, **node.attributes)],
        "g",
        [make(v.name, kind, v.shape) for v in graph.inputs],
        [make(v.name, kind, None) for v in graph.outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 21)]
    proto = onnx.helper.make_model(written, opset_imports=opsets, ir_version=10)
    feeds = dict(zip(("x", "h", "c"), inputs, strict=True))
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = {value.name for value in session.get_inputs()}
    expected = session.run(None, {name: x for name, x in feeds.items() if name in names})
    for found, wanted in zip(outputs(make_recurrent(model), feeds), expected, strict=True):
        # Sums of 13 products go through 5 steps, and ONNX Runtime's sigmoid is an approximation.
        assert np.allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize(
    "attributes",
    [
        {"clip": 3.0},
        {"activations": ("Sigmoid", "Tanh", "Relu")},
        {"input_forget": 1},
        {"direction": "sideways"},
    ],
)
def test_layers_of_another_kind_stay(attributes):
    before, _ = layer("LSTM", **attributes)
    assert make_recurrent(before).graph.nodes == before.graph.nodes


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("bias", [False, True])
def test_a_reset_before_the_product(direction, bias):
    before, inputs = layer("GRU", direction=direction, bias=bias, linear_before_reset=0)
    after = make_recurrent(before)
    assert "GRU" not in ops(after)
    assert_same(before, after, *inputs)


def test_activations_that_are_written_out_are_the_usual_ones():
    names = ("Sigmoid", "Tanh", "tanh") * 2
    before, inputs = layer("LSTM", direction="bidirectional", activations=names)
    after = make_recurrent(before)
    assert "LSTM" not in ops(after)
    assert_same(before, after, *inputs)


def with_lengths(lengths, peepholes=None, steps=T) -> tuple[GraphModel, list[np.ndarray]]:
    b = Building(x=(steps, 2, I))
    peeps = [] if peepholes is None else ["", "", peepholes]
    weights = random(1, 4 * H, I), random(1, 4 * H, H)
    y, h, c = b("LSTM", "x", *weights, "", lengths, *peeps, outputs=3, hidden_size=H)
    return b.model(y, h, c), [random(T, 2, I, seed=4)]


@pytest.mark.parametrize(
    "lengths, steps, is_made",
    [([T, T], T, True), ([T, T - 1], T, False), ([T, T], "steps", False)],
)
def test_only_sequences_of_one_length(lengths, steps, is_made):
    before, inputs = with_lengths(np.array(lengths, np.int32), steps=steps)
    after = make_recurrent(before)
    assert ("edge.LSTM" in ops(after)) == is_made
    assert_same(before, after, *inputs)


@pytest.mark.parametrize("size, is_made", [(0, True), (1, False)])
def test_peepholes_only_where_they_see_nothing(size, is_made):
    before, inputs = with_lengths("", size * random(1, 3 * H))
    after = make_recurrent(before)
    assert ("edge.LSTM" in ops(after)) == is_made
    assert_same(before, after, *inputs)


def test_outputs_that_nobody_asks_for_are_not_made():
    b = Building(x=(T, N, I))
    weights = random(1, 4 * H, I), random(1, 4 * H, H)
    _, _, c = b("LSTM", "x", *weights, outputs=3, hidden_size=H)
    b.nodes[0] = replace(b.nodes[0], outputs=("", "", c))
    before = b.model(c)
    after = make_recurrent(before)
    assert [n.outputs[:2] for n in after.graph.nodes if n.op == "edge.LSTM"] == [("", "")]
    assert_same(before, after, random(T, N, I, seed=4))


def test_layers_that_share_weights_share_matrices():
    b = Building(x=(T, N, H))
    weights = [b.constant(random(1, 4 * H, H, seed=seed)) for seed in (1, 2)]
    y = b("Squeeze", b("LSTM", "x", *weights, outputs=3, hidden_size=H)[0], [1])
    before = b.model(b("LSTM", y, *weights, outputs=3, hidden_size=H)[0])
    after = make_recurrent(before)
    assert len(after.matrices) == 2
    assert_same(before, after, random(T, N, H, seed=4))
