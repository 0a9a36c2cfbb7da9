"""Quantized graphs of other tools: the same weights in floats, and back on edge's grids."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.graph.grid import Grid, dequantized
from edge.exporter.graph.kept import keep_grids
from edge.exporter.graph.model import GraphModel, Matrix
from edge.exporter.graph.onnx_file import read
from edge.exporter.graph.unquantize import unquantize
from edge.format.graph import Graph, Node, Value
from tests.exporter.graph.quantized_models import matmul_nbits, mlp, model, static

ON_CODES = ("Integer", "QLinear", "DequantizeLinear", "QuantizeLinear", "com.microsoft")
TYPES = [
    (QuantType.QUInt8, QuantType.QInt8),
    (QuantType.QInt8, QuantType.QInt8),
    (QuantType.QUInt8, QuantType.QUInt8),
]


def ops(lowered):
    return [node.op for node in lowered.graph.nodes]


def stored(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def meaning(arrays, name, axis):
    """What ONNX Runtime's initializers NAME_quantized, NAME_scale, NAME_zero_point mean."""
    parts = (arrays[f"{name}_{part}"] for part in ("quantized", "scale", "zero_point"))
    return dequantized(*parts, axis)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("kind", [QuantFormat.QDQ, QuantFormat.QOperator], ids=lambda k: k.name)
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("types", TYPES, ids=lambda pair: "-".join(t.name for t in pair))
def test_a_statically_quantized_model_becomes_floats_with_the_same_weights(
    tmp_path, name, kind, per_channel, types
):
    settings = dict(zip(("activation_type", "weight_type"), types, strict=True))
    path = static(tmp_path, name, kind, per_channel=per_channel, **settings)
    lowered, arrays = unquantize(read(path)), stored(path)
    assert not [op for op in ops(lowered) if any(part in op for part in ON_CODES)]
    axes = {"fc1": 1, "fc2": 0, "c1": 0, "c2": 0, "c3": 0, "fc": 0}
    weights = [w for w in axes if f"{w}_quantized" in arrays]
    assert len(weights) == (2 if name == "mlp" else 4)
    for weight in weights:
        expected = meaning(arrays, weight, axes[weight])
        np.testing.assert_array_equal(lowered.graph.constants[weight], expected)
        assert lowered.grids[weight].bits == 8


# What a layer with a bias reads, by the name of its scale.
READS = [
    ("mlp", QuantFormat.QDQ, {"fc2": "c"}),
    ("mlp", QuantFormat.QOperator, {"fc2": "b"}),
    ("cnn", QuantFormat.QDQ, {"c1": "x", "c2": "b", "fc": "g"}),
    ("cnn", QuantFormat.QOperator, {"c1": "x", "c2": "a", "fc": "g"}),
]


@pytest.mark.parametrize("name, kind, reads", READS, ids=lambda part: getattr(part, "name", None))
@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
def test_a_bias_of_integers_counts_steps_of_the_inputs_times_the_weights_scale(
    tmp_path, name, kind, reads, per_channel
):
    """And becomes, exactly, its code times their product."""
    path = static(tmp_path, name, kind, per_channel=per_channel)
    lowered, arrays = unquantize(read(path)), stored(path)
    layers = [n for n in lowered.graph.nodes if n.op in ("Conv", "Gemm") and len(n.inputs) == 3]
    biases = {node.inputs[1]: node.inputs[2] for node in layers}
    assert biases.keys() == reads.keys()
    for layer, read_by in reads.items():
        codes = arrays[f"{layer}_bias_quantized"]
        step = arrays[f"{read_by}_scale"] * arrays[f"{layer}_scale"]
        assert codes.dtype == np.int32 and codes.any() and step.dtype == np.float32
        found = lowered.graph.constants[biases[layer]]
        np.testing.assert_array_equal(found, codes.astype(np.float32) * step)


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8], ids=lambda k: k.name)
def test_dynamically_quantized_products_become_float_products(tmp_path, per_channel, kind):
    source, path = tmp_path / "mlp.onnx", tmp_path / "dynamic.onnx"
    onnx.save(mlp(), source)
    quantize_dynamic(source, path, per_channel=per_channel, weight_type=kind)
    lowered, arrays = unquantize(read(path)), stored(path)
    assert ops(lowered) == ["MatMul", "Add", "Relu", "MatMul", "Add"]
    np.testing.assert_array_equal(lowered.graph.constants["fc1"], meaning(arrays, "fc1", 1))


def with_an_integer_bias(rounded):
    """As ONNX Runtime wrote them before 1.8: the bias is rounded down to steps at run time.

    Else to whole numbers, which mean something else.
    """
    random = np.random.default_rng(5)
    bias = random.standard_normal(6).astype(np.float32)
    held = {
        "w": random.integers(-127, 128, (6, 3, 3, 3), np.int8),
        "ws": np.float32(0.01), "wz": np.int8(0), "b": bias, "shape": np.array([1, -1, 1, 1]),
    }  # fmt: skip
    pads = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("Mul", ["s", "ws"], ["step"]),
        helper.make_node("Div", ["b", "step"], ["steps"]),
        helper.make_node("Floor", ["steps"], ["whole"]),
        helper.make_node(
            "Cast", ["whole" if rounded else "b"], ["codes"], to=onnx.TensorProto.INT32
        ),
        helper.make_node("Reshape", ["codes", "shape"], ["shaped"]),
        helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["sums"], **pads),
        helper.make_node("Add", ["sums", "shaped"], ["total"]),
        helper.make_node("Cast", ["total"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["again"]),
        helper.make_node("Mul", ["floats", "again"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(np.array(v), n) for n, v in held.items()]
    return held, unquantize(_read(model(nodes, tensors, (1, 3, 8, 8), 4)))


def test_a_convolution_that_adds_its_bias_in_integers_becomes_one_with_a_float_bias():
    held, lowered = with_an_integer_bias(rounded=True)
    assert ops(lowered) == ["Conv"]
    _, weight, own = lowered.graph.nodes[0].inputs
    np.testing.assert_array_equal(lowered.graph.constants[own], held["b"])
    expected = held["w"].astype(np.float32) * held["ws"]
    np.testing.assert_array_equal(lowered.graph.constants[weight], expected)


def test_a_sum_of_integers_that_is_no_rounded_bias_stays():
    _, lowered = with_an_integer_bias(rounded=False)
    assert "ConvInteger" in ops(lowered)


def test_what_the_codes_of_activations_cut_off_stays_cut_off():
    """ONNX Runtime drops a Relu whose range the codes have: the pair must not vanish without it."""
    held = {"s": np.float32(0.5), "z": np.uint8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(np.array(v), n) for n, v in held.items()]
    lowered = unquantize(_read(model(nodes, tensors, (1, 4), 4)))
    (clip,) = lowered.graph.nodes
    ends = [float(lowered.graph.constants[name]) for name in clip.inputs[1:]]
    assert (clip.op, ends) == ("Clip", [0, 127.5])


def test_pairs_of_different_scales_stay_because_they_round_twice():
    held = {"s": np.float32(0.5), "t": np.float32(0.25), "z": np.uint8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "t", "z"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(np.array(v), n) for n, v in held.items()]
    assert ops(unquantize(_read(model(nodes, tensors, (1, 4), 4)))) == [n.op_type for n in nodes]


def test_a_float_model_is_left_alone(tmp_path):
    onnx.save(mlp(), tmp_path / "mlp.onnx")
    found = read(tmp_path / "mlp.onnx")
    assert unquantize(found) is found


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("columns, block", [(64, 32), (96, 64), (128, 128)])
@pytest.mark.parametrize("shifted", [False, True], ids=["middle", "zero-points"])
def test_blocked_codes_mean_what_onnx_runtime_computes(tmp_path, bits, columns, block, shifted):
    random = np.random.default_rng(bits)
    blocks = -(-columns // block)
    codes = random.integers(0, 2**bits, (24, columns), np.uint8)
    scales = random.uniform(0.01, 0.1, (24, blocks)).astype(np.float32)
    zeros = random.integers(0, 2**bits, (24, blocks), np.uint8) if shifted else None
    path = tmp_path / "nbits.onnx"
    onnx.save(matmul_nbits(codes, scales, zeros, bits, block), path)
    lowered = unquantize(read(path))
    (product,) = lowered.graph.nodes
    weight = lowered.graph.constants[product.inputs[1]]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": np.eye(columns, dtype=np.float32)})[0]
    # A unit vector picks a row out; both compute scale (code - zero), which is rounded once or twice.
    np.testing.assert_allclose(weight, found, rtol=2**-22, atol=1e-7)


def test_blocks_that_do_not_fill_their_bytes_are_refused_by_name():
    made = matmul_nbits(np.zeros((8, 64), np.uint8), np.ones((8, 2), np.float32), None, 4, 32)
    made.graph.node[0].attribute[0].i = 96
    with pytest.raises(SourceError, match="MatMulNBits"):
        unquantize(_read(made))


def test_scattered_groups_are_refused_by_name():
    made = matmul_nbits(np.zeros((8, 64), np.uint8), np.ones((8, 2), np.float32), None, 4, 32)
    made.graph.initializer.append(numpy_helper.from_array(np.zeros(64, np.int32), "order"))
    made.graph.node[0].input.extend(["", "order"])
    with pytest.raises(UnsupportedModel, match="g_idx"):
        unquantize(_read(made))


@pytest.mark.parametrize(
    "parts",
    [
        {"s": np.ones(3, np.float32)},
        {"s": np.ones((2, 2), np.float32), "block_size": 2**40},
        {"s": np.ones((5, 4), np.float32), "block_size": 1},
        {"s": np.ones(4, np.float32), "axis": 7},
        {"s": np.ones(4, np.float32), "z": np.zeros(3, np.int8)},
    ],
    ids=["too few", "endless blocks", "too many blocks", "no such axis", "too few zero points"],
)
def test_scales_that_do_not_fit_their_codes_are_left_to_the_operator(parts):
    arrays = {k: v for k, v in parts.items() if isinstance(v, np.ndarray)}
    attributes = {k: v for k, v in parts.items() if not isinstance(v, np.ndarray)}
    constants = {"w": np.zeros((4, 4), np.int8), **arrays}
    inputs = (Value("x", "float32", ("N", 4)),)
    nodes = (
        Node("DequantizeLinear", tuple(constants), ("f",), attributes),
        Node("MatMul", ("x", "f"), ("y",)),
    )
    model = GraphModel(Graph(inputs, (Value("y", "float32"),), nodes, constants))
    assert unquantize(model) is model


@pytest.mark.parametrize(
    "op", ["QLinearConv", "QLinearMatMul", "com.microsoft.QGemm", "com.microsoft.QLinearConcat",
           "com.microsoft.QLinearAdd", "com.microsoft.DynamicQuantizeMatMul",
           "com.microsoft.MatMulNBits"]
)  # fmt: skip
@pytest.mark.parametrize("inputs", [(), ("x",), ("x", "x", "x")])
def test_operators_without_their_inputs_are_left_alone(op, inputs):
    x, y = Value("x", "float32", ("N", 4)), Value("y", "float32")
    model = GraphModel(Graph((x,), (y,), (Node(op, inputs, ("y",)),)))
    assert unquantize(model) is model


def _read(made):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        onnx.save(made, f"{folder}/m.onnx")
        return read(f"{folder}/m.onnx")


def linear_model(weight, grid):
    """x -> edge.Linear "fc", as a pass makes it of a product with a constant."""
    x, y = Value("x", "float32", ("N", weight.shape[1])), Value("y", "float32")
    graph = Graph((x,), (y,), (Node("edge.Linear", ("x",), ("y",), {"weight": "fc"}),))
    return GraphModel(graph, {"fc": Matrix(weight, None, None, "w")}, grids={"w": grid})


def signed_grid(scales, zeros, block=0):
    return Grid(4 if block else 8, -8 if block else -128, scales, zeros.astype(np.int16), block)


def test_rows_of_int8_keep_their_codes_and_scales_bit_for_bit():
    random = np.random.default_rng(4)
    codes = random.integers(-127, 128, (20, 48), np.int8)
    scales = random.uniform(0.001, 0.1, 20).astype(np.float32)
    weight = dequantized(codes, scales, None, 0)
    kept = keep_grids(linear_model(weight, signed_grid(scales, np.zeros(20)))).matrices["fc"].kept
    assert str(kept.format) == "int8"
    np.testing.assert_array_equal(kept.codes.astype(int) - 128, codes)
    np.testing.assert_array_equal(kept.scales[:, 0], scales)
    np.testing.assert_array_equal(kept.dequantize(), weight)


@pytest.mark.parametrize("transposed", [False, True])
def test_blocks_of_int4_keep_their_codes_and_offsets_take_the_zero_points(transposed):
    random = np.random.default_rng(5)
    codes = random.integers(-8, 8, (20, 64), np.int8)
    scales = random.uniform(0.01, 0.1, (20, 2)).astype(np.float16).astype(np.float32)
    zeros = random.integers(-8, 8, (20, 2))
    weight = dequantized(codes, scales, zeros, 1, 32)
    turn = (scales.T, zeros.T) if transposed else (scales, zeros)
    matrix = keep_grids(linear_model(weight, signed_grid(*turn, block=32))).matrices["fc"]
    assert str(matrix.kept.format) == "int4-g32-offset"
    np.testing.assert_array_equal(matrix.kept.codes.astype(int) - 8, codes)
    # An offset -scale x zero is rounded to float16: by 2^-11 of at most 16 scales.
    assert np.abs(matrix.weight - weight).max() <= 16 * scales.max() * 2.0**-11


def test_a_zero_point_off_the_middle_keeps_its_codes_and_adds_what_they_lack():
    random = np.random.default_rng(6)
    codes = random.integers(0, 256, (20, 48), np.uint8)
    scales, zeros = np.array([0.01], np.float32), np.array([93], np.int16)
    weight = dequantized(codes, scales, zeros, 0)
    changed = keep_grids(linear_model(weight, Grid(8, 0, scales, zeros)))
    np.testing.assert_array_equal(changed.matrices["fc"].kept.codes, codes)
    assert [n.op for n in changed.graph.nodes] == ["edge.Linear", "ReduceSum", "Mul", "Add"]
    x = random.normal(size=(5, 48)).astype(np.float32)
    lacks = changed.graph.constants["y.lacks"]
    y = x @ changed.matrices["fc"].weight.T + x.sum(axis=1, keepdims=True) * lacks
    np.testing.assert_allclose(y, x @ weight.T, atol=1e-4)  # sums of 48 float32 of size 1


def test_a_table_off_the_middle_keeps_its_codes_and_adds_one_number():
    codes = np.random.default_rng(8).integers(0, 256, (20, 48), np.uint8)
    scales, zeros = np.array([0.01], np.float32), np.array([93], np.int16)
    weight = dequantized(codes, scales, zeros, 0)
    model = linear_model(weight, Grid(8, 0, scales, zeros))
    lookup = replace(model.graph.nodes[0], op="edge.Embedding")
    changed = keep_grids(replace(model, graph=replace(model.graph, nodes=(lookup,))))
    np.testing.assert_array_equal(changed.matrices["fc"].kept.codes, codes)
    assert [n.op for n in changed.graph.nodes] == ["edge.Embedding", "Add"]
    shift = changed.graph.constants["y.shift"]
    np.testing.assert_allclose(changed.matrices["fc"].weight + shift, weight, atol=1e-6)


def test_a_matrix_that_left_its_grid_is_treated_as_floats_and_a_note_says_so():
    weight = np.random.default_rng(7).normal(size=(20, 48)).astype(np.float32)
    changed = keep_grids(linear_model(weight, signed_grid(np.ones(20, np.float32), np.zeros(20))))
    assert changed.matrices["fc"].kept is None
    assert "as if they were floats: fc" in changed.notes[0]
