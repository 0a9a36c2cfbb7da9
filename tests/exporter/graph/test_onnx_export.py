"""An ONNX file becomes an .edge file that computes the same."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import edge
from edge.format.reader import EdgeFile

FLOATS = TensorProto.FLOAT


def saved(folder, nodes, inputs, outputs, initializers=(), opset=28):
    """A model file; inputs and outputs are {name: shape} of floats."""
    infos = [
        [helper.make_tensor_value_info(name, FLOATS, shape) for name, shape in values.items()]
        for values in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(initializers).items()]
    graph = helper.make_graph(nodes, "small", *infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_a_graph_computes_what_its_source_says(tmp_path):
    w = np.array([1, 2, -3], np.float32)
    nodes = [
        helper.make_node("Add", ["x", "w"], ["s"]),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Add", ["s", "one"], ["t"]),
        helper.make_node("Relu", ["t"], ["y"]),
    ]
    source = saved(tmp_path, nodes, {"x": ["N", 3]}, {"y": ["N", 3]}, {"w": w})
    report = edge.export(source, tmp_path / "m.edge", quant="float32")
    session = edge.load(tmp_path / "m.edge")
    x = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)
    assert session.get_inputs()[0].shape == ["N", 3]
    assert report.bytes == (tmp_path / "m.edge").stat().st_size
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x + w + 1, 0))


@pytest.mark.parametrize(
    "quant, columns", [("float32", 9 * 20), ("float16", 9 * 20), ("int8", 9 * 32)]
)
def test_taps_are_padded_only_where_codes_are_read_in_blocks(tmp_path, quant, columns):
    random = np.random.default_rng(0)
    w = (random.standard_normal((24, 20, 3, 3)) / 8).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    shapes = {"x": [1, 20, 9, 8]}, {"y": [1, 24, 9, 8]}
    source = saved(tmp_path, [node], *shapes, {"w": w}, opset=22)
    report = edge.export(source, tmp_path / "m.edge", quant=quant)
    (stored,) = (info for info in report.tensors if info.name.endswith(".weight"))
    assert stored.shape == (24, columns)
    assert EdgeFile(tmp_path / "m.edge").document["parameters"] == w.size
    x = random.standard_normal((1, 20, 9, 8)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(onnx.load(source)).run(None, {"x": x})
    with edge.load(tmp_path / "m.edge") as session:
        (found,) = session.run(None, {"x": x})
    # A code is off by half of 1/127 of the largest of its row or pixel: about a hundredth in all.
    share = {"float32": 1e-5, "float16": 2e-3, "int8": 3e-2}[quant]
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()


@pytest.mark.parametrize("quant", ["float32", "float16", "int8", "int4"])
@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3)])
def test_recurrent_layers_in_every_format(tmp_path, quant, op, gates):
    """A matrix of the state is never in groups: int4 leaves it in int8."""
    random = np.random.default_rng(0)
    weights = {
        "w": (random.standard_normal((2, gates * 32, 64)) / 8).astype(np.float32),
        "r": (random.standard_normal((2, gates * 32, 32)) / 6).astype(np.float32),
        "b": (random.standard_normal((2, 2 * gates * 32)) / 8).astype(np.float32),
    }
    more = {"linear_before_reset": 1} if op == "GRU" else {}
    node = helper.make_node(
        op, ["x", "w", "r", "b"], ["y"], hidden_size=32, direction="bidirectional", **more
    )
    shapes = {"x": ["T", "N", 64]}, {"y": ["T", 2, "N", 32]}
    source = saved(tmp_path, [node], *shapes, weights, opset=22)
    report = edge.export(source, tmp_path / "m.edge", quant=quant)
    forms = {i.format.partition("-")[0] for i in report.tensors if i.name.endswith(".weight")}
    assert forms == ({"int4", "int8"} if quant == "int4" else {quant})
    assert not report.cautions or quant.startswith("int")
    x = random.standard_normal((6, 2, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": x})
    with edge.load(tmp_path / "m.edge") as session:
        (found,) = session.run(None, {"x": x})
    most = {"float32": 2e-6, "float16": 1e-3, "int8": 3e-2, "int4": 2e-1}[quant]
    assert np.abs(found - wanted).max() <= most
