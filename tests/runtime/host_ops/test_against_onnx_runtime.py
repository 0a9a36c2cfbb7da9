"""Operators with many attributes on random ones, beside ONNX Runtime (written by others)."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge.runtime.host_ops import OPS

ort = pytest.importorskip("onnxruntime")
SIZES = st.integers(1, 3)


def by_onnx_runtime(op: str, arrays: list[np.ndarray], **attributes) -> np.ndarray:
    names = [f"x{i}" for i in range(len(arrays))]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, arrays, strict=True)
    ]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(op, names, ["y"], **attributes)], op, infos, [out])
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 19)])
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_spectrum_of_short_times(rank):
    """ONNX has an axis for real and imaginary parts; ONNX Runtime does without it, too."""
    signal, window = numbers(2, 400, *[1] * (rank - 2)), np.hanning(64).astype(np.float32)
    arrays = [signal, np.array(16), window, np.array(64)]
    expected = by_onnx_runtime("STFT", arrays, onesided=1)
    np.testing.assert_allclose(OPS["STFT"].function(*arrays, onesided=1), expected, atol=1e-4)


@st.composite
def placements(draw, axes: int):
    """Attributes of a window, and the size of the image that it moves over."""
    several = lambda low, high: st.tuples(*[st.integers(low, high)] * axes)
    kernel, pads = draw(several(1, 3)), draw(several(0, 2))
    assume(all(p < k for p, k in zip(pads, kernel, strict=True)))
    attributes = {"kernel_shape": kernel, "strides": draw(several(1, 3)), "pads": (*pads, *pads)}
    return attributes, draw(several(7, 9))


@pytest.mark.parametrize("axes", [1, 2])
@settings(max_examples=30, deadline=None)
@given(data=st.data(), group=SIZES, channels=SIZES, rows=SIZES, dilation=st.integers(1, 2))
def test_convolution(axes, data, group, channels, rows, dilation):
    attributes, image = data.draw(placements(axes))
    x, bias = numbers(2, channels * group, *image), numbers(rows * group)
    w = numbers(rows * group, channels, *attributes["kernel_shape"])
    attributes |= {"group": group, "dilations": (dilation,) * axes}
    expected = by_onnx_runtime("Conv", [x, w, bias], **attributes)
    found = OPS["Conv"].function(x, w, bias, **attributes)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)  # sums of at most 27 products


@settings(max_examples=30, deadline=None)
@given(data=st.data(), group=SIZES, extra=st.integers(0, 1))
def test_transposed_convolution(data, group, extra):
    attributes, image = data.draw(placements(2))
    assume(all(s > extra for s in attributes["strides"]))
    x = numbers(2, 2 * group, *image)
    w = numbers(2 * group, 2, *attributes["kernel_shape"])
    attributes |= {"group": group, "output_padding": (extra, extra)}
    expected = by_onnx_runtime("ConvTranspose", [x, w], **attributes)
    found = OPS["ConvTranspose"].function(x, w, **attributes)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@settings(max_examples=30, deadline=None)
@given(data=st.data(), ceil=st.integers(0, 1), counted=st.integers(0, 1))
def test_pooling(op, data, ceil, counted):
    attributes, image = data.draw(placements(2))
    attributes |= {"ceil_mode": ceil}
    attributes |= {"count_include_pad": counted} if op == "AveragePool" else {}
    x = numbers(2, 3, *image)
    expected = by_onnx_runtime(op, [x], **attributes)
    found = OPS[op].function(x, **attributes)
    found = found[0] if isinstance(found, tuple) else found
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op, gates", [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_layers(op, gates, direction):
    directions, hidden = 2 if direction == "bidirectional" else 1, 3
    lengths = np.array([5, 2], np.int32)
    arrays = [
        numbers(5, 2, 4),
        numbers(directions, gates * hidden, 4),
        numbers(directions, gates * hidden, hidden),
        numbers(directions, 2 * gates * hidden),
        lengths,
        numbers(directions, 2, hidden),
    ]
    attributes = {"direction": direction, "hidden_size": hidden}
    expected = by_onnx_runtime(op, arrays, **attributes)
    found = OPS[op].function(*arrays, **attributes)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric")


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    "coordinates, scales",
    [
        *((c, scales) for c in COORDINATES for scales in [(1.7, 2.0), (0.6, 0.5), (1.0, 3.0)]),
        ("align_corners", (2.0, 3.0)),  # by others ONNX Runtime does not do what ONNX's tests say
        ("align_corners", (0.5, 1.0)),
    ],
)
def test_resize(mode, coordinates, scales):
    x = numbers(1, 2, 6, 7)
    sizes = np.array([1, 1, *scales], np.float32)
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    expected = by_onnx_runtime("Resize", [x, np.float32([]), sizes], **attributes)
    found = OPS["Resize"].function(x, None, sizes, **attributes)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_largest_elements_of_regions():
    x = numbers(2, 3, 9, 11)
    rois = np.float32([[0, 1, 1, 7, 6], [1, -3, 2, 20, 40], [1, 4, 4, 4, 4]])
    attributes = {"pooled_shape": (2, 3), "spatial_scale": 0.75}
    expected = by_onnx_runtime("MaxRoiPool", [x, rois], **attributes)
    found = OPS["MaxRoiPool"].function(x, rois, **attributes)
    np.testing.assert_array_equal(found, expected)
