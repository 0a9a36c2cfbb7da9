"""Graphs in float16 are computed in float32, and give what ONNX Runtime gives."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge
from edge.exporter import export
from edge.exporter.graph.pipeline import lower

HALF, SINGLE = TensorProto.FLOAT16, TensorProto.FLOAT


def held(name, *shape):
    values = 0.2 * np.random.default_rng(len(name)).standard_normal(shape)
    return numpy_helper.from_array(values.astype(np.float16), name)


def branch(name, op):
    """Reads a value around it."""
    out = helper.make_tensor_value_info(name, HALF, None)
    return helper.make_graph([helper.make_node(op, ["c"], [name])], name, [], [out])


def half_model(path, inside):
    """A convolution, a branch, a cast that keeps a norm in float32; `inside`: casts around it all."""
    one, pads = {"axis": -1}, {"pads": [1] * 4, "kernel_shape": [3, 3]}
    nodes = [
        helper.make_node("Conv", ["h", "w", "b"], ["c"], **pads),
        helper.make_node("If", ["flag"], ["d"], then_branch=branch("t", "Relu"), else_branch=branch("e", "Neg")),
        helper.make_node("Cast", ["d"], ["wide"], to=SINGLE),
        helper.make_node("LayerNormalization", ["wide", "g"], ["normed"], **one),
        helper.make_node("Cast", ["normed"], ["k"], to=HALF),
    ]  # fmt: skip
    if inside:
        nodes.insert(0, helper.make_node("Cast", ["x"], ["h"], to=HALF))
        nodes.append(helper.make_node("Cast", ["k"], ["y"], to=SINGLE))
    x, y = ("x", "y") if inside else ("h", "k")
    kind = SINGLE if inside else HALF
    held_here = [held("w", 16, 8, 3, 3), held("b", 16)]
    gains = numpy_helper.from_array(np.linspace(0.5, 2, 9, dtype=np.float32), "g")
    graph = helper.make_graph(
        nodes, "halves",
        [
            helper.make_tensor_value_info(x, kind, [2, 8, 7, 9]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info(y, kind, None)], [*held_here, gains],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return x, y, np.float32 if inside else np.float16


@pytest.mark.parametrize("inside", [False, True], ids=["outside-too", "inside"])
def test_a_graph_in_halves_is_computed_in_single_precision(tmp_path, inside):
    x, y, dtype = half_model(tmp_path / "m.onnx", inside)
    casts = [n.attributes["to"] for n in lower(tmp_path / "m.onnx").graph.walk() if n.op == "Cast"]
    assert casts.count("float16") == (0 if inside else 1)
    export(tmp_path / "m.onnx", tmp_path / "m.edge", quant="keep")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    with edge.load(tmp_path / "m.edge") as model:
        for flag in (True, False):
            values = np.random.default_rng(3).standard_normal((2, 8, 7, 9)).astype(dtype)
            feeds = {x: values, "flag": np.array(flag)}
            (found,), (expected,) = model.run([y], feeds), session.run([y], feeds)
            assert found.dtype == dtype == expected.dtype
            assert np.abs(found.astype(float) - expected).max() < 4e-3 * np.abs(expected).max()


def test_weights_in_halves_are_kept_in_halves(tmp_path):
    half_model(tmp_path / "m.onnx", inside=True)
    report = export(tmp_path / "m.onnx", tmp_path / "m.edge", quant="keep")
    assert {t.format for t in report.tensors if t.name.endswith(".weight")} == {"float16"}
    report = export(tmp_path / "m.onnx", tmp_path / "m.edge", quant="float32")
    assert {t.format for t in report.tensors if t.name.endswith(".weight")} == {"float32"}


def test_a_graph_that_reads_bits_stays_in_halves(tmp_path):
    nodes = [helper.make_node("BitCast", ["x"], ["y"], to=TensorProto.UINT16)]
    graph = helper.make_graph(
        nodes, "bits",
        [helper.make_tensor_value_info("x", HALF, [4])],
        [helper.make_tensor_value_info("y", TensorProto.UINT16, [4])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)])
    onnx.save(made, tmp_path / "m.onnx")
    assert [node.op for node in lower(tmp_path / "m.onnx").graph.nodes] == ["BitCast"]
