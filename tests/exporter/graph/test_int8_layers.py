"""int8 layers of graphs beside other tools': the same codes, and why rows have scales."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantFormat

import edge
from edge.exporter.graph.activity import observe
from edge.exporter.graph.pipeline import lower
from edge.exporter.graph.samples import Samples
from edge.exporter.layer_error import output_error
from edge.exporter.quantize import Method, quantize
from edge.format.formats import WeightFormat
from tests.exporter.graph.quantized_models import MODELS, model, samples, static
from tests.exporter.graph.test_verification import in_edge, in_onnx_runtime


def held(**arrays):
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def test_a_layer_with_a_fixed_scale_gives_the_codes_of_qlinear_matmul(tmp_path):
    """Within one code: ONNX Runtime rescales sums of the same integers in another order."""
    random = np.random.default_rng(0)
    step, codes = np.float32(0.043), random.integers(-127, 128, (96, 48)).astype(np.int8)
    codes[0] = 127  # so that a column's largest weight says its scale
    scales = random.uniform(0.001, 0.01, 48).astype(np.float32)
    x = (random.integers(-127, 128, (64, 96)) * step).astype(np.float32)
    x[0, 0] = 127 * step
    product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    onnx.save(model(product, held(w=codes * scales), x.shape, 48), tmp_path / "float.onnx")
    edge.export(tmp_path / "float.onnx", tmp_path / "m.edge", quant="w8a8s", calib=[{"x": x}])
    y = in_edge(tmp_path / "m.edge", x)
    y_step = np.float32(np.abs(y).max() / 127)
    steps = held(s=step, z=np.int8(0), w=codes, ws=scales, wz=np.zeros(48, np.int8), t=y_step)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearMatMul", ["q", "s", "z", "w", "ws", "wz", "t", "z"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "t", "z"], ["y"]),
    ]
    onnx.save(model(nodes, steps, x.shape, 48), tmp_path / "codes.onnx")
    theirs = np.rint(in_onnx_runtime(tmp_path / "codes.onnx", x) / y_step)
    apart = np.abs(np.rint(y / y_step) - theirs)
    assert apart.max() <= 1 and apart.mean() < 0.01 and len(np.unique(theirs)) > 100


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("kind", [QuantFormat.QDQ, QuantFormat.QOperator], ids=lambda k: k.name)
def test_a_statically_quantized_file_is_nearer_to_its_float_model_in_edge(tmp_path, name, kind):
    """The same weights; activations have a scale a row where the file's have one for all."""
    path = static(tmp_path, name, kind, per_channel=True)
    onnx.save(MODELS[name](), tmp_path / "float.onnx")
    edge.export(path, tmp_path / "m.edge")
    off = np.zeros(2)
    for x in samples(name, count=8, seed=11):
        exact = in_onnx_runtime(tmp_path / "float.onnx", x)
        found = in_edge(tmp_path / "m.edge", x), in_onnx_runtime(path, x)
        off += [np.square(y - exact).sum() for y in found]
    assert off[0] < off[1]


def mobile(random):
    """[N, 3, 16, 16]: a stem, three inverted residual blocks, batch norms behind all of them."""
    nodes, constants, value = [], {}, "x"

    def layer(rows, columns, kernel, group=1, stride=1, clip=True):
        nonlocal value
        at = f"c{len(constants) // 5}"
        shape = rows, columns // group, kernel, kernel
        constants[at] = random.normal(0, 0.2, shape)
        for part, low in (("gain", 0.2), ("mean", 0.1), ("bias", 0.1), ("variance", 0.05)):
            constants[f"{at}_{part}"] = random.lognormal(0, 1, rows) * low
        norm = [f"{at}_{part}" for part in ("gain", "bias", "mean", "variance")]
        settings = {"group": group, "strides": [stride, stride], "pads": [kernel // 2] * 4}
        nodes.append(helper.make_node("Conv", [value, at], [f"{at}_a"], **settings))
        nodes.append(helper.make_node("BatchNormalization", [f"{at}_a", *norm], [f"{at}_b"]))
        value = f"{at}_b"
        if clip:
            nodes.append(helper.make_node("Clip", [value, "low", "high"], [f"{at}_c"]))
            value = f"{at}_c"

    layer(32, 3, 3, stride=2)
    for _ in range(3):
        before = value
        layer(96, 32, 1)
        layer(96, 96, 3, group=96)
        layer(32, 96, 1, clip=False)
        nodes.append(helper.make_node("Add", [before, value], [f"{value}_sum"]))
        value = f"{value}_sum"
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["y"]),
    ]
    arrays = {name: array.astype(np.float32) for name, array in constants.items()}
    ends = {"low": np.float32(0), "high": np.float32(6)}
    return model(nodes, held(**arrays, **ends), (1, 3, 16, 16), 32)


def test_a_scale_a_row_beats_one_a_matrix_in_every_convolution_of_a_mobile_net(tmp_path):
    """In the output's squared error on what the layer reads; batch norms scale each row apart."""
    random = np.random.default_rng(5)
    onnx.save(mobile(random), tmp_path / "mobile.onnx")
    found = lower(tmp_path / "mobile.onnx")
    x = random.normal(size=(8, 2, 3, 16, 16)).astype(np.float32)
    reads = observe(found, Samples(tuple({"x": part} for part in x), "samples"))
    assert len(reads) == 7
    for name, seen in reads.items():
        weight, _ = found.dense(name)
        rows = quantize(weight, Method(WeightFormat("int8"), "absmax")).dequantize()
        step = np.abs(weight).max() / 127
        whole = np.rint(weight / step) * step
        of_rows, of_all = (output_error(w - weight, seen.held_out_moments) for w in (rows, whole))
        assert of_rows < 0.5 * of_all, name
