"""Resize by kernels gives what the operator is defined to give, and falls back where it must."""

from contextlib import closing

import numpy as np
import pytest
from graph_files import Building, in_numpy, kernels_of

from edge.runtime.graph_model import GraphModel

MODES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric")
LAST = {"axes": (0, 3, 1, 2)}  # as exports have it, whose images are channels last


def run(tmp_path, x, scales, sizes=None, **attributes):
    """Kernels and operators in NumPy of a graph that gave the right numbers."""
    b = Building()
    given = [b.constant(np.array(s)) if s is not None else "" for s in (scales, sizes)]
    y = b("Resize", b("Neg", "x"), "", *given, **attributes)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [b("Neg", y)])
    with closing(GraphModel(file, threads=2)) as model:
        (found,), (expected,) = model.run({"x": x}), in_numpy(file, {"x": x})
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        return kernels_of(model)


def image(*shape):
    return np.random.default_rng(4).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [(2, 2), (1.5, 3), (0.5, 0.7), (1, 2), (0.4, 9)])
@pytest.mark.parametrize("channels", [4, 24])
def test_linear_interpolation(tmp_path, mode, scale, channels):
    scales = np.array([1, 1, *scale], np.float32)
    attributes = {"mode": "linear", "coordinate_transformation_mode": mode, **LAST}
    kernels, operators = run(tmp_path, image(2, 6, 7, channels), scales, **attributes)
    assert "resize" in kernels and not operators


def test_sizes_in_place_of_scales(tmp_path):
    attributes = {"mode": "linear", "axes": (1, 2)}
    kernels, _ = run(tmp_path, image(1, 5, 8, 16), None, np.array([9, 3]), **attributes)
    assert "resize" in kernels


@pytest.mark.parametrize("scale, repeats", [((2, 3), True), ((1, 1), True), ((2.3, 2), False)])
def test_the_nearest_pixel(tmp_path, scale, repeats):
    """2.3 times two rows are four, but not each of them twice."""
    scales = np.array([1, 1, *scale], np.float32)
    attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", **LAST}
    _, operators = run(tmp_path, image(1, 2, 7, 16), scales, **attributes)
    assert operators == ([] if repeats else ["Resize"])


@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "cubic"},
        {"mode": "linear", "antialias": 1},
        {"mode": "linear", "exclude_outside": 1},
    ],
    ids=["cubic", "antialias", "exclude"],
)
def test_what_the_kernel_does_not_do_runs_in_numpy(tmp_path, attributes):
    scales = np.array([1, 1, 0.6, 2], np.float32)
    assert run(tmp_path, image(1, 5, 4, 16), scales, **attributes, **LAST)[1] == ["Resize"]


def test_few_channels_would_be_padding(tmp_path):
    scales = np.array([1, 1, 2, 2], np.float32)
    assert run(tmp_path, image(1, 5, 4, 1), scales, mode="linear", **LAST)[1] == ["Resize"]
