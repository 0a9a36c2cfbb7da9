"""What ONNX's tests do not ask of a backend, but its users do."""

from contextlib import closing

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge import onnx_backend
from edge.errors import EdgeError, InputError, UnsupportedModel

A, B = np.float32([1, 2]), np.float32([3, 4])


def info(name: str) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])


def model(op: str = "Sub") -> object:
    node = helper.make_node(op, ["a", "b"], ["c"])
    return helper.make_model(helper.make_graph([node], "g", [info("a"), info("b")], [info("c")]))


def test_a_node_runs_by_itself():
    node = helper.make_node("TopK", ["x", "k"], ["values", "places"])
    values, places = onnx_backend.run_node(node, [np.float32([1, 5, 2]), np.int64([2])])
    assert values.tolist() == [5, 2] and places.tolist() == [1, 2]


def test_a_node_runs_with_what_is_said_of_its_outputs():
    node = helper.make_node("Add", ["a", "b"], ["c"])
    (found,) = onnx_backend.run_node(node, [A, B], outputs_info=[(np.float32, (2,))])
    assert found.tolist() == [4, 6]


def test_a_node_that_onnx_lacks_is_refused():
    with pytest.raises(UnsupportedModel, match="'Frobnicate'"):
        onnx_backend.run_node(helper.make_node("Frobnicate", ["a"], ["c"]), [A])


def test_inputs_come_by_name_or_in_order():
    with closing(onnx_backend.prepare(model())) as ready:
        assert ready.run({"b": A, "a": B})[0].tolist() == ready.run([B, A])[0].tolist() == [2, 2]
        with pytest.raises(InputError, match="3 inputs, the model takes 2"):
            ready.run([A, A, A])


def test_other_devices_and_operators_are_refused():
    assert onnx_backend.supports_device("CPU") and not onnx_backend.supports_device("CUDA")
    with pytest.raises(EdgeError, match="'CUDA'"):
        onnx_backend.prepare(model(), "CUDA")
    assert onnx_backend.is_compatible(model())
    assert not onnx_backend.is_compatible(model("Frobnicate"))
