"""edge's own operators in NumPy, against what they replace."""

from types import SimpleNamespace

import numpy as np
import pytest

from edge.errors import FormatError
from edge.format.formats import WeightFormat
from edge.format.graph import Graph, Node, Value
from edge.format.graph_config import GraphConfig
from edge.format.reader import EdgeFile
from edge.format.writer import EdgeWriter
from edge.runtime.graph.interpreter import Scope, run
from edge.runtime.graph.matrices import FileMatrices
from edge.runtime.host_ops import OPS
from tests.format.small_file import DOCUMENT, quantized

onnx = pytest.importorskip("onnx", reason="the dev extra has it")
EPSILON = np.finfo(np.float32).eps


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def matrices(**by_name: tuple[np.ndarray, np.ndarray | None]) -> SimpleNamespace:
    return SimpleNamespace(dense=by_name.__getitem__)


def onnx_conv(x: np.ndarray, w: np.ndarray, bias: np.ndarray, **attributes: object) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    return ReferenceEvaluator(node).run(None, {"x": x, "w": w, "b": bias})[0]


GEOMETRIES = [
    ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    ((3, 2), (2, 1), (0, 1, 2, 0), (1, 2)),
    ((1, 5), (1, 3), (0, 2, 0, 2), (1, 1)),
]


@pytest.mark.parametrize("kernel, strides, pads, dilations", GEOMETRIES)
def test_conv_and_depthwise_are_those_of_onnx_with_channels_last(kernel, strides, pads, dilations):
    x, bias = random(2, 5, 9, 8), random(7)
    settings = {"strides": strides, "pads": pads, "dilations": dilations}
    w = random(7, 5, *kernel)
    padded = np.zeros((7, *kernel, 16), np.float32)
    padded[..., :5] = w.transpose(0, 2, 3, 1)
    found = OPS["edge.Conv"].function(
        x.transpose(0, 2, 3, 1),
        weight="w",
        kernel=kernel,
        channels=5,
        matrices=matrices(w=(padded.reshape(7, -1), bias)),
        **settings,
    )
    terms = 5 * np.prod(kernel) + 1
    wanted = onnx_conv(x, w, bias, **settings)
    bound = terms * EPSILON * (onnx_conv(abs(x), abs(w), abs(bias), **settings))
    assert (abs(found.transpose(0, 3, 1, 2) - wanted) <= bound).all()

    w, bias = random(5, 1, *kernel), random(5)
    found = OPS["edge.Depthwise"].function(
        x.transpose(0, 2, 3, 1), w[:, 0].transpose(1, 2, 0), bias, **settings
    )
    wanted = onnx_conv(x, w, bias, group=5, **settings)
    bound = terms * EPSILON * onnx_conv(abs(x), abs(w), abs(bias), group=5, **settings)
    assert (abs(found.transpose(0, 3, 1, 2) - wanted) <= bound).all()


@pytest.mark.parametrize("heads, kv_heads", [(1, 1), (6, 6), (6, 2)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_a_softmax_over_keys_head_by_head(heads, kv_heads, masked):
    q, k, v = random(2, 3, heads * 4), random(2, 5, kv_heads * 4), random(2, 5, kv_heads * 7)
    mask = np.array([[[[0, 0, 0.5, 0, -np.inf]]]], np.float32) if masked else None
    found = OPS["edge.Attention"].function(q, k, v, mask, heads=heads, kv_heads=kv_heads, scale=0.5)
    assert found.shape == (2, 3, heads * 7)
    for n in range(2):
        for head in range(heads):
            group = head * kv_heads // heads
            own_q = q[n, :, 4 * head : 4 * head + 4].astype(np.float64)
            own_k, own_v = k[n, :, 4 * group : 4 * group + 4], v[n, :, 7 * group : 7 * group + 7]
            scores = 0.5 * own_q @ own_k.T
            weights = np.exp(scores + (0 if mask is None else mask[0, 0]))
            wanted = weights / weights.sum(axis=1, keepdims=True) @ own_v
            # a score is off by a few eps of its own size, and so, relatively, is its exponential
            bound = 20 * EPSILON * (1 + abs(scores).max()) * abs(own_v).max()
            assert (abs(found[n, :, 7 * head : 7 * head + 7] - wanted) <= bound).all()


def test_results_have_the_type_of_the_input():
    x = random(3, 4).astype(np.float16)
    y = OPS["edge.Linear"].function(x, weight="w", matrices=matrices(w=(random(5, 4), random(5))))
    assert (y.dtype, y.shape) == (np.float16, (3, 5))
    q = x[None]
    assert OPS["edge.Attention"].function(q, q, q, heads=2, kv_heads=2, scale=1.0).dtype == q.dtype


def write(path, bias: np.ndarray | None = None) -> np.ndarray:
    """A file with a matrix "fc", its weights given back."""
    tensor = quantized(WeightFormat("int4", 32), 20, 64)
    with EdgeWriter(path, tensors=2) as writer:
        writer.document = {**DOCUMENT, "kind": "graph", "config": GraphConfig("", 1, 17)}
        if bias is not None:
            writer.add_vector("fc.bias", bias)
        writer.add_matrix("fc.weight", tensor, 0.1)
    return tensor.dequantize()


def test_a_graph_finds_its_matrices_in_the_file_also_from_inside_a_branch(tmp_path):
    weight = write(tmp_path / "m.edge", bias := random(20))
    linear = Node("edge.Linear", ("x",), ("y",), {"weight": "fc"})
    x, value = random(3, 64), Value("y", "float32")
    graph = Graph((Value("x", "float32"),), (value,), (linear,))
    found = FileMatrices(EdgeFile(tmp_path / "m.edge"))
    (y,) = run(graph, {"x": x}, found)
    assert np.array_equal(y, x @ weight.T + bias)
    assert np.array_equal(Scope({}, found).run(graph, (x,))[0], y)
    assert found.dense("fc")[0] is found.dense("fc")[0], "decoded once"


def test_a_bias_that_does_not_fit_its_matrix_is_refused(tmp_path):
    write(tmp_path / "m.edge", random(19))
    with pytest.raises(FormatError, match=r"'fc.bias' is vector \[19\], expected vector \[20\]"):
        FileMatrices(EdgeFile(tmp_path / "m.edge")).dense("fc")
    with pytest.raises(FormatError, match="needs tensor 'none.weight'"):
        FileMatrices(EdgeFile(tmp_path / "m.edge")).dense("none")


def test_a_matrix_that_is_a_vector_is_refused(tmp_path):
    with EdgeWriter(tmp_path / "m.edge", tensors=1) as writer:
        writer.document = {**DOCUMENT, "kind": "graph", "config": GraphConfig("", 1, 17)}
        writer.add_vector("fc.weight", random(20))
    with pytest.raises(FormatError, match="'fc.weight' is vector, expected a matrix"):
        FileMatrices(EdgeFile(tmp_path / "m.edge")).dense("fc")


def test_an_embedding_is_a_gather_of_rows():
    table, ids = random(10, 4), np.array([[0, -1], [9, 3]])
    found = OPS["edge.Embedding"].function(ids, weight="w", matrices=matrices(w=(table, None)))
    np.testing.assert_array_equal(found, np.take(table, ids, axis=0))
