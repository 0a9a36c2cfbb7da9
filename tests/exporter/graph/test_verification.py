"""Exports of graphs from end to end: what the file computes, what is said of it, what is refused."""

import json
import re
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_files import in_numpy
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic

import edge
from edge.errors import RecipeError, SourceError
from edge.exporter.graph.agreement import outputs
from edge.format.reader import EdgeFile
from tests.exporter.graph.quantized_models import (
    MODELS,
    SHAPES,
    matmul_nbits,
    samples,
    static,
    weights,
)


@pytest.fixture
def source(tmp_path):
    onnx.save(MODELS["cnn"](), tmp_path / "cnn.onnx")
    return tmp_path / "cnn.onnx"


def in_onnx_runtime(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def in_edge(path, x):
    with edge.load(path, threads=1) as session:
        return session.run(None, {"x": x})[0]


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


# --- quantized by others --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("kind", [QuantFormat.QDQ, QuantFormat.QOperator], ids=lambda k: k.name)
@pytest.mark.parametrize("weight_type", [QuantType.QInt8, QuantType.QUInt8], ids=lambda t: t.name)
def test_a_statically_quantized_file_computes_what_it_did(tmp_path, name, kind, weight_type):
    types = {"activation_type": QuantType.QUInt8, "weight_type": weight_type}
    path = static(tmp_path, name, kind, **types)
    report = edge.export(path, tmp_path / "m.edge")
    matrices = [t for t in report.tensors if len(t.shape) == 2]
    assert {t.error for t in matrices} == {0.0}
    x = samples(name)[0]
    # Both round activations to 8 bits, at other places: a per cent or two of the output.
    assert relative(in_edge(report.output, x), in_onnx_runtime(path, x)) < 0.03


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("weight_type", [QuantType.QInt8, QuantType.QUInt8], ids=lambda t: t.name)
def test_a_dynamically_quantized_file_computes_what_it_did(tmp_path, name, weight_type):
    onnx.save(MODELS[name](), tmp_path / "float.onnx")
    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(tmp_path / "float.onnx", path, weight_type=weight_type, per_channel=True)
    report = edge.export(path, tmp_path / "m.edge")
    x = np.random.default_rng(5).normal(size=SHAPES[name]).astype(np.float32)
    assert relative(in_edge(report.output, x), in_onnx_runtime(path, x)) < 0.03
    assert "edge's float interpreter" in report.notes[-1]


@pytest.mark.parametrize("block", [32, 64, 128])
def test_blocks_of_4_bits_compute_what_they_did(tmp_path, block):
    random = np.random.default_rng(block)
    codes = random.integers(0, 16, (48, 256), np.uint8)
    scales = random.uniform(0.01, 0.1, (48, 256 // block)).astype(np.float32)
    onnx.save(matmul_nbits(codes, scales, None, 4, block), tmp_path / "m.onnx")
    report = edge.export(tmp_path / "m.onnx", tmp_path / "m.edge")
    assert f"int4-g{block}" in {t.format for t in report.tensors}
    x = random.normal(size=(3, 256)).astype(np.float32)
    assert relative(in_edge(report.output, x), in_onnx_runtime(tmp_path / "m.onnx", x)) < 0.02


# --- verified -------------------------------------------------------------------------------------


def test_activations_that_stay_floats_leave_nothing_but_the_weights_rounding(tmp_path):
    onnx.save(MODELS["mlp"](), tmp_path / "mlp.onnx")
    x, errors = samples("mlp")[0], []
    for quant in ("w8a16", "w8a8"):
        edge.export(tmp_path / "mlp.onnx", tmp_path / "m.edge", quant=quant)
        weights_alone = in_numpy(EdgeFile(tmp_path / "m.edge"), {"x": x})[0]
        errors.append(relative(in_edge(tmp_path / "m.edge", x), weights_alone))
    assert errors[0] < 1e-6 and errors[1] > 1e-3


def test_a_report_has_outputs_beside_onnx_runtime_and_noise_of_layers(source, tmp_path):
    report = edge.export(
        source, tmp_path / "m.edge", quant="int8,*c2*=int8,*fc*=int8", calib=samples("cnn")
    )
    found = json.loads(json.dumps(report.to_json(), allow_nan=False))["verification"]
    assert found["against"].startswith("ONNX Runtime")
    assert (found["samples"], found["random"]) == (4, False)
    (y,) = found["outputs"]
    expected = [in_onnx_runtime(source, x) for x in samples("cnn")]
    made = [in_edge(report.output, x) for x in samples("cnn")]
    assert y["relative_error"] == pytest.approx(relative(np.array(made), np.array(expected)), 1e-3)
    assert y["max_error"] == pytest.approx(np.abs(np.array(made) - expected).max(), rel=1e-3)
    layers = {layer["name"]: layer["decibels"] for layer in found["layers"]}
    assert len(layers) == 3
    # 8 bits of weights and of activations each leave some 40 to 50 dB.
    assert all(30 < decibels < 60 for decibels in layers.values())
    assert not report.cautions


def test_noise_of_layers_is_against_the_weights_that_were_quantized(tmp_path):
    onnx.save(MODELS["mlp"](), tmp_path / "m.onnx")
    for recipe in ("int8", "int8:equalize"):
        report = edge.export(
            tmp_path / "m.onnx", tmp_path / "m.edge", quant=recipe, calib=samples("mlp")
        )
        assert all(layer["decibels"] > 35 for layer in report.verification["layers"])
        assert len(report.verification["layers"]) == 2


def test_without_onnx_runtime_edge_runs_the_float_model_itself(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = edge.export(source, tmp_path / "m.edge", quant="float32")
    assert report.verification["against"] == "edge's float interpreter"
    assert report.verification["outputs"][0]["relative_error"] < 1e-5


def test_random_inputs_verify_and_the_report_says_how_little_that_is(source, tmp_path):
    report = edge.export(source, tmp_path / "m.edge", quant="int8")
    assert report.verification["random"]
    assert "random numbers" in report.notes[-1]
    assert any("no data was given" in caution for caution in report.cautions)


def test_open_sizes_of_random_pictures_are_tried_until_a_model_runs(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Reshape", ["a", "shape"], ["y"]),  # of 48 x 48 pixels alone
    ]
    held = weights(np.random.default_rng(0), w=(8, 3, 3, 3))
    held.append(numpy_helper.from_array(np.array([1, 8 * 23 * 23]), "shape"))
    picture = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, "H", "W"])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    made = helper.make_model(
        helper.make_graph(nodes, "g", [picture], [y], held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    onnx.save(made, tmp_path / "m.onnx")
    report = edge.export(tmp_path / "m.onnx", tmp_path / "m.edge", quant="float32")
    assert report.verification["outputs"][0]["relative_error"] < 1e-5


def test_a_model_that_random_numbers_do_not_suit_is_written_and_called_unverified(tmp_path):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    held = [numpy_helper.from_array(np.array([7, 11]), "shape")]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N"])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [7, 11])
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=10,
    )
    onnx.save(made, tmp_path / "m.onnx")
    report = edge.export(tmp_path / "m.onnx", tmp_path / "m.edge", quant="float32")
    assert report.cautions[0].startswith("not verified")


def test_a_graph_that_suffers_is_warned_about_in_words(tmp_path):
    model = MODELS["mlp"]()
    held = {t.name: t for t in model.graph.initializer}
    loud, quiet = (numpy_helper.to_array(held[name]).copy() for name in ("fc1", "fc2"))
    loud[:, 3] *= 5000  # what one hidden number is too loud by, the next layer makes up for
    quiet[:, 3] /= 5000
    for name, array in (("fc1", loud), ("fc2", quiet)):
        held[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "m.onnx")
    data = samples("mlp")
    report = edge.export(tmp_path / "m.onnx", tmp_path / "m.edge", quant="int8", calib=data)
    assert "output 'y' is far from the float model" in report.cautions[0]
    kept = edge.export(
        tmp_path / "m.onnx", tmp_path / "m.edge", quant="int8", calib=data, max_drop=0.02
    )
    assert not kept.cautions
    assert {t.format for t in kept.tensors if len(t.shape) == 2} == {"int8", "float16"}


def test_outputs_are_compared_number_by_number():
    expected = [{"y": np.array([[1.0, 2.0]])}, {"y": np.array([[3.0, 1.0]])}]
    found = [{"y": np.array([[1.0, 2.0]])}, {"y": np.array([[1.0, 3.0]])}]
    (y,) = outputs(expected, found)
    assert y.cosine == pytest.approx((1 + 6 / 10) / 2)
    assert (y.max_error, y.top1) == (2, 0.5)
    assert y.relative_error == pytest.approx(np.sqrt(8 / 15))


def test_outputs_of_another_shape_or_nan_are_infinitely_far():
    (shape,) = outputs([{"y": np.ones((1, 2))}], [{"y": np.ones((2, 1))}])
    (nan,) = outputs([{"y": np.ones(2)}], [{"y": np.array([1, np.nan])}])
    assert shape.relative_error == np.inf
    assert not np.isfinite(nan.relative_error)


def test_the_page_shows_outputs_noise_errors_bytes_and_weights(source, tmp_path):
    page = tmp_path / "m.html"
    edge.export(
        source, tmp_path / "m.edge", quant="int8,*c2*=int8", calib=samples("cnn"), report=page
    )
    text = page.read_text()
    for title in ("Against the float model", "Noise by layer", "Error by layer", "Bytes"):
        assert f"<h2>{title}</h2>" in text
    assert "Weights before and after" in text
    assert "4 samples of samples" in text
    assert not re.search(r"<script|http", text)


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"quant": "w8a8s"}, r"goes by what the model reads: .*--calib"),
        ({"quant": "int8", "max_drop": 0.1}, "--max-drop goes by what the model reads"),
        ({"quant": "int8", "calib": [np.full((1, 8, 12, 12), np.nan)]}, "has NaN"),
        ({"quant": "int8", "calib": [np.ones((1, 8, 12, 13))]}, "expected"),
        ({"quant": "int8,nothing=int4"}, "fits no matrix"),
        ({"quant": "int3x"}, "no recipe"),
        ({"quant": "int8", "calib": samples("cnn"), "max_drop": "lots"}, "a drop of 'lots'"),
    ],
)
def test_nothing_is_written_where_an_export_is_refused(source, tmp_path, settings, message):
    with pytest.raises(RecipeError, match=message):
        edge.export(source, tmp_path / "m.edge", **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["cnn.onnx"]


def test_nan_among_weights_is_refused_by_name(source, tmp_path):
    model = onnx.load(source)
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight.flat[7] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "c1"))
    onnx.save(model, source)
    with pytest.raises(SourceError, match="c1"):
        edge.export(source, tmp_path / "m.edge", quant="int8")
    assert not (tmp_path / "m.edge").exists()
