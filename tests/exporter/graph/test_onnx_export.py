"""An ONNX file becomes an .edge file that computes the same."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edge

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
