"""Operators that ONNX Runtime's optimizer writes mean in edge what they mean there."""

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge import onnx_backend
from edge.errors import UnsupportedModel

ort = pytest.importorskip("onnxruntime")
N, S, H = 2, 5, 8


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def model(op: str, inputs: list, outputs: int = 1, **attributes) -> tuple[ModelProto, dict]:
    """Of one operator; arrays of more than two axes and of int32 are inputs, others constants."""
    names = ["" if array is None else f"x{i}" for i, array in enumerate(inputs)]
    arrays = {name: a for name, a in zip(names, inputs, strict=True) if a is not None}
    feeds = {name: a for name, a in arrays.items() if a.ndim > 2 or a.dtype == np.int32}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in feeds.items()
    ]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, results, domain="com.microsoft", **attributes)
    out = [helper.make_tensor_value_info("y0", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(a, n) for n, a in arrays.items() if n not in feeds]
    graph = helper.make_graph([node], op, infos, out, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, ir_version=10, opset_imports=opsets), feeds


def agrees(op: str, *inputs, outputs: int = 1, atol: float = 1e-5, **attributes) -> None:
    made, feeds = model(op, list(inputs), outputs, **attributes)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, feeds)[0]
    (found,) = onnx_backend.run_model(made, feeds)
    # float32 sums of at most a few dozen terms near 1, in another order
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu"])
def test_gelus(op):
    agrees(op, numbers(N, S, H))


@pytest.mark.parametrize("op", ["BiasGelu", "FastGelu"])
def test_gelus_with_a_bias(op):
    agrees(op, numbers(N, S, H), numbers(H))


@pytest.mark.parametrize("bias", [None, numbers(H)])
def test_normalized_sums(bias):
    x, skip, gamma, beta = numbers(N, S, H), numbers(N, S, H) * 2, numbers(H), numbers(H) + 1
    agrees("SkipLayerNormalization", x, skip, gamma, beta, bias, epsilon=1e-5)
    agrees("SkipSimplifiedLayerNormalization", x, skip, gamma, bias, epsilon=1e-5)


@pytest.mark.parametrize("turned", [0, 1])
def test_products_with_a_factor(turned):
    a, b = numbers(N, S, H), numbers(N, S, H) if turned else numbers(N, H, S)
    agrees("FusedMatMul", a, b, alpha=0.5, transB=turned)


def test_layers_with_activations():
    image, kernels = numbers(N, 3, 6, 6), numbers(4, 3, 3, 3)
    agrees("FusedConv", image, kernels, numbers(4), activation="Relu", pads=[1, 1, 1, 1])
    clip = {"activation": "Clip", "activation_params": [-0.5, 0.5]}
    agrees("FusedConv", image, kernels, numbers(4), **clip)
    leaky = {"activation": "LeakyRelu", "activation_params": [0.25]}
    agrees("FusedConv", image, kernels, **leaky)


LENGTHS = np.array([3, 5], np.int32)
KEPT = (np.arange(S) < LENGTHS[:, None]).astype(np.int32)


@pytest.mark.parametrize("mask", [None, LENGTHS, KEPT])
@pytest.mark.parametrize("unidirectional", [0, 1])
def test_attention_with_masks(mask, unidirectional):
    x, w, bias = numbers(N, S, H), numbers(H, 3 * H), numbers(3 * H)
    agrees("Attention", x, w, bias, mask, num_heads=2, unidirectional=unidirectional)


@pytest.mark.parametrize("mask", [None, KEPT])
def test_attention_of_queries_keys_and_values(mask):
    q, k, v = numbers(N, 3, H), numbers(N, S, H), numbers(N, S, H) + 1
    agrees("MultiHeadAttention", q, k, v, numbers(3 * H), mask, num_heads=4)


@pytest.mark.parametrize("scales", [np.float32(0.03), np.full(3 * H, 0.03, np.float32)])
def test_attention_of_quantized_weights(scales):
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 255, (N, S, H), np.uint8), rng.integers(-9, 9, (H, 3 * H), np.int8)
    zeros = np.zeros(scales.shape, np.int8)
    given = [x, w, numbers(3 * H), np.float32(0.01), scales, KEPT, np.uint8(120), zeros]
    agrees("QAttention", *given, num_heads=2)


@pytest.mark.parametrize("direction, d", [("forward", 1), ("bidirectional", 2)])
def test_lstm_of_quantized_weights(direction, d):
    rng = np.random.default_rng(0)
    x = np.rint(numbers(S, N, 4) * 40).clip(-127, 127).astype(np.float32) / 40
    x[0, 0, 0], x[0, 0, 1] = -127 / 40, 128 / 40  # then the 8 bits that it is rounded to hold it
    w, r = (rng.integers(-90, 90, (d, n, 4 * H), np.int8) for n in (4, H))
    bias, lengths = numbers(d, 8 * H), np.full(N, S, np.int32)
    scale, zero = np.full(d, 0.01, np.float32), np.zeros(d, np.int8)
    given = [x, w, r, bias, lengths, None, None, None, scale, zero, scale, zero]
    # The state is rounded, too: by half a step of 2 / 255, times |R| < 0.9 over H of its elements.
    agrees("DynamicQuantizeLSTM", *given, atol=0.05, hidden_size=H, direction=direction)


def test_embeddings_of_words_places_and_segments():
    ids = np.array([[4, 2, 9], [1, 1, 0]], np.int32)
    tables = [numbers(10, H), numbers(6, H), numbers(2, H)]
    gamma, beta, mask = numbers(H), numbers(H) * 2, np.ones((2, 3), np.int32)
    agrees("EmbedLayerNormalization", ids, ids % 2, *tables, gamma, beta, mask, outputs=2)


def test_a_cache_is_refused_by_name():
    q, past = numbers(N, 1, H), numbers(N, 2, S, H // 2)
    made, _ = model("MultiHeadAttention", [q, q, q, None, None, None, past, past], num_heads=2)
    with pytest.raises(UnsupportedModel, match="MultiHeadAttention of 'y0': .* with a cache"):
        onnx_backend.prepare(made)
