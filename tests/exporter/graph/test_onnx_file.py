"""What is in an ONNX file, however it is written down."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge
from edge.errors import EdgeError, SourceError, UnsupportedModel
from edge.exporter.graph import functions
from edge.exporter.graph.onnx_file import read
from edge.format.reader import EdgeFile

ROOT = Path(__file__).parents[3]
F32 = np.float32
X = np.linspace(-2, 2, 12, dtype=F32).reshape(3, 4)


def node(op, inputs, outputs="y", **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def saved(path, nodes, tensors=(), opset=21, dtype=TensorProto.FLOAT, **settings):
    values = [helper.make_tensor_value_info(name, dtype, [3, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "made", values[:1], values[1:], list(tensors))
    imports = [helper.make_opsetid("", opset), *settings.pop("imports", ())]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10, **settings)
    path.write_bytes(model.SerializeToString())
    return path


def result(source, x=X):
    edge.export(source, path := source.with_suffix(".edge"), quant="float32")
    with edge.load(path) as session:
        return session.run(None, {"x": x})[0]


def by_onnx_runtime(source, x=X):
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "weights/deep/"])
def test_external_data_is_read_from_the_models_folder(tmp_path, folder):
    w = np.arange(4, dtype=F32)
    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    said = {"location": f"{folder}data.bin", "offset": "12", "length": "16", "checksum": "0"}
    for key, value in said.items():
        tensor.external_data.add(key=key, value=value)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "data.bin").write_bytes(bytes(12) + w.tobytes())
    source = saved(tmp_path / "m.onnx", [node("Add", "x w")], [tensor])
    np.testing.assert_array_equal(result(source), X + w)


def test_a_model_that_onnx_saved_with_external_data_is_read(tmp_path):
    w = np.random.default_rng(0).standard_normal((4, 4)).astype(F32)
    source = saved(tmp_path / "m.onnx", [node("MatMul", "x w")], [numpy_helper.from_array(w, "w")])
    onnx.save(onnx.load(source), source, save_as_external_data=True, size_threshold=0)
    assert len(list(tmp_path.iterdir())) > 1
    np.testing.assert_allclose(result(source), X @ w, rtol=1e-5, atol=1e-5)


def test_the_digest_of_a_source_covers_its_external_data(tmp_path):
    found = set()
    for factor in (1, 2):
        w = numpy_helper.from_array(np.full((4, 4), factor, F32), "w")
        source = saved(tmp_path / "m.onnx", [node("MatMul", "x w")], [w])
        onnx.save(onnx.load(source), source, save_as_external_data=True, size_threshold=0,
                  location="data")  # fmt: skip
        edge.export(source, tmp_path / "m.edge")
        found.add(EdgeFile(tmp_path / "m.edge").document["source"]["sha256"])
        (tmp_path / "data").unlink()
    assert len(found) == 2


def test_a_folder_may_itself_be_reached_by_a_link(tmp_path):
    """What lies below it may not."""
    (tmp_path / "real").mkdir()
    w = numpy_helper.from_array(np.ones((4, 4), F32), "w")
    source = saved(tmp_path / "real/m.onnx", [node("MatMul", "x w")], [w])
    onnx.save(onnx.load(source), source, save_as_external_data=True, size_threshold=0)
    (tmp_path / "link").symlink_to("real")
    assert result(tmp_path / "link/m.onnx").shape == (3, 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8e4m3fn", "float8e5m2"])
def test_narrow_floats_are_held_as_wider_ones(tmp_path, dtype):
    number = getattr(TensorProto, dtype.upper())
    values = [0.5, -1.5, 2.0, 0.25]
    tensor = helper.make_tensor("w", number, [4], values)
    cast = node("Cast", "w", "v", to=TensorProto.FLOAT)
    for t in (tensor, numpy_helper.from_array(numpy_helper.to_array(tensor), "w")):
        source = saved(tmp_path / "m.onnx", [cast, node("Add", "x v")], [t])
        np.testing.assert_array_equal(result(source), X + F32(values))


@pytest.mark.parametrize("dtype, values", [("int4", [-8, 7, 0, -1]), ("uint4", [0, 15, 8, 1])])
def test_nibbles_are_held_as_bytes(tmp_path, dtype, values):
    tensor = helper.make_tensor("w", getattr(TensorProto, dtype.upper()), [4], values)
    cast = node("Cast", "w", "v", to=TensorProto.FLOAT)
    source = saved(tmp_path / "m.onnx", [cast, node("Add", "x v")], [tensor])
    np.testing.assert_array_equal(result(source), X + F32(values))


def test_sparse_tensors_are_filled_up_with_zeros(tmp_path):
    for indices in (np.array([1, 11]), np.array([[0, 1], [2, 3]])):
        values = numpy_helper.from_array(F32([5, 7]), "w")
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices), [3, 4])
        source = saved(tmp_path / "m.onnx", [node("Add", "x w")])
        model = onnx.load(source)
        model.graph.sparse_initializer.append(sparse)
        source.write_bytes(model.SerializeToString())
        expected = X.copy()
        expected[0, 1] += 5
        expected[2, 3] += 7
        np.testing.assert_array_equal(result(source), expected)


def test_an_input_with_a_default_is_a_constant(tmp_path):
    """As before IR version 4, when every tensor was an input too."""
    w = numpy_helper.from_array(F32(2), "w")
    source = saved(tmp_path / "m.onnx", [node("Mul", "x w")], [w])
    model = onnx.load(source)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, []))
    source.write_bytes(model.SerializeToString())
    edge.export(source, tmp_path / "m.edge")
    with edge.load(tmp_path / "m.edge") as session:
        assert [argument.name for argument in session.get_inputs()] == ["x"]


def test_a_single_nan_may_be_meant(tmp_path):
    nodes = [node("IsNaN", "x", "n"), node("Where", "n w x")]
    source = saved(tmp_path / "m.onnx", nodes, [numpy_helper.from_array(F32(np.nan), "w")])
    np.testing.assert_array_equal(result(source), X)


# --- graphs ---------------------------------------------------------------------------------------


def test_nodes_may_be_in_any_order(tmp_path):
    nodes = [node("Mul", "a x"), node("Add", "x b", "a"), node("Neg", "x", "b")]
    np.testing.assert_array_equal(result(saved(tmp_path / "m.onnx", nodes)), (X - X) * X)


def test_functions_are_inlined_also_in_functions(tmp_path):
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    inner = helper.make_function(
        "own", "Scaled", ["a"], ["b"],
        [helper.make_node("Constant", [], ["k"]), node("Mul", "a k", "b")], imports, ["factor"],
    )  # fmt: skip
    inner.node[0].attribute.add(name="value_float", ref_attr_name="factor", type=1)
    calls = [node("Scaled", "a", "t", domain="own", factor=3.0), node("Add", "t a", "b")]
    outer = helper.make_function("own", "Outer", ["a"], ["b"], calls, imports)
    nodes = [node("Outer", "x", "u", domain="own"), node("Outer", "u", "y", domain="own")]
    source = saved(tmp_path / "m.onnx", nodes, imports=imports[1:], functions=[inner, outer])
    np.testing.assert_allclose(result(source), X * 16)
    assert {n.op for n in read(source).graph.nodes} == {"Mul", "Add"}


@pytest.mark.parametrize(
    "op, attributes",
    [("Softplus", {}), ("Gelu", {"approximate": "tanh"}), ("HardSwish", {}), ("Celu", {"alpha": 2.0}),
     ("Shrink", {"lambd": 0.5}), ("LogSoftmax", {"axis": 0}), ("MeanVarianceNormalization", {"axes": [0]})],
)  # fmt: skip
def test_an_operator_that_edge_lacks_is_made_of_those_it_has(tmp_path, monkeypatch, op, attributes):
    """Whichever it lacks: here all that ONNX itself defines by others."""
    has = functions.has_operator
    monkeypatch.setattr(functions, "has_operator", lambda name: name != op and has(name))
    source = saved(tmp_path / "m.onnx", [node(op, "x", **attributes)])
    assert op not in {n.op for n in read(source).graph.walk()}
    np.testing.assert_allclose(result(source), by_onnx_runtime(source), rtol=1e-5, atol=1e-6)


def test_values_of_branches_get_names_of_their_own(tmp_path):
    """ONNX lets two branches use the same names."""
    branches = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
        tensor = numpy_helper.from_array(F32(2 if op == "Neg" else 3), "k")
        nodes = [node(op, "x", "t"), node("Mul", "t k", "out")]
        branches[name] = helper.make_graph(nodes, name, [], [out], [tensor])
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Greater", "s limit", "c"),
        node("If", "c", "y", **branches),
    ]
    source = saved(tmp_path / "m.onnx", nodes, [numpy_helper.from_array(F32(1), "limit")])
    for x, expected in ((X, abs(X) * 3), (X + 1, -(X + 1) * 2)):
        np.testing.assert_allclose(result(source, x), expected)
    names = [name for n in read(source).graph.walk() for name in n.outputs]
    assert len(set(names)) == len(names)


def test_sizes_that_nobody_fixed_stay_open(tmp_path):
    source = saved(tmp_path / "m.onnx", [node("Relu", "x")])
    model = onnx.load(source)
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param, dims[1].dim_value = "batch", -1
    source.write_bytes(model.SerializeToString())
    assert read(source).graph.inputs[0].shape == ("batch", None)
    assert result(source, np.zeros((5, 7), F32)).shape == (5, 7)


def test_a_graph_that_a_file_cannot_hold_is_refused_before_it_is_written(tmp_path):
    """Its JSON has numbers of 18 digits."""
    keys = {"keys_int64s": [2**62, 1], "values_floats": [1.0, 2.0], "default_float": 0.0}
    nodes = [
        node("Cast", "x", "i", to=TensorProto.INT64),
        node("LabelEncoder", "i", domain="ai.onnx.ml", **keys),
    ]
    source = saved(tmp_path / "m.onnx", nodes, imports=[helper.make_opsetid("ai.onnx.ml", 4)])
    with pytest.raises(UnsupportedModel, match="more than 18 digits"):
        edge.export(source, tmp_path / "m.edge")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_what_the_author_wrote_down_is_kept(tmp_path):
    source = saved(tmp_path / "m.onnx", [node("Relu", "x")])
    model = onnx.load(source)
    helper.set_model_props(model, {"character": "a\nb", "stride": "32"})
    source.write_bytes(model.SerializeToString())
    found = read(source)
    assert found.graph.metadata == {"character": "a\nb", "stride": "32"}
    assert (found.name, found.opset) == ("made", 21)


def test_every_wrong_byte_ends_in_an_error_with_a_name_or_in_a_graph(tmp_path):
    nodes = [
        node("Constant", "", "k", value=numpy_helper.from_array(np.ones((4, 4), F32))),
        node("MatMul", "x k", "m"),
        node("ReduceMean", "m axes", "r"),
        node("Sub", "m r"),
    ]
    axes = numpy_helper.from_array(np.array([-1]), "axes")
    content = saved(tmp_path / "m.onnx", nodes, [axes]).read_bytes()
    refused = 0
    for position in range(0, len(content), 3):
        for change in (0x01, 0x80, 0xFF):
            broken = bytearray(content)
            broken[position] ^= change
            (tmp_path / "b.onnx").write_bytes(broken)
            try:
                read(tmp_path / "b.onnx")
            except EdgeError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > len(content) / 3


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_large_external_weights_are_mapped_and_not_read(tmp_path):
    """A gigabyte that is one hole in its file, in a process that may not have half of it."""
    tensor = TensorProto(name="w", data_type=1, dims=[2**28], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="hole")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**30)
    nodes = [node("Slice", "w begin end", "some"), node("Add", "x some")]
    ends = [numpy_helper.from_array(np.array([n]), name) for name, n in (("begin", 8), ("end", 12))]
    source = saved(tmp_path / "m.onnx", nodes, [tensor, *ends])
    code = f"""
import resource
from edge.exporter.graph.onnx_file import read
from edge.format.reader import EdgeFile
resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**29))
print(read({str(source)!r}).graph.constants["w"].nbytes)
"""
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (run.stdout, run.stderr) == (f"{2**30}\n", "")


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(SourceError, match=r"none\.onnx: cannot be read: No such file"):
        edge.export(tmp_path / "none.onnx", tmp_path / "m.edge")
