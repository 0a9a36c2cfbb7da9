"""Elementwise operators where NumPy's own habits differ from ONNX's."""

import math

import numpy as np
import pytest

from edge.runtime.host_ops import OPS


def run(name, *inputs, **attributes):
    return OPS[name].function(*inputs, **attributes)


def test_erf_is_exact_to_the_last_bits():
    x = np.concatenate([np.linspace(-7, 7, 5001), 10.0 ** np.arange(-300, 0, 7)])
    expected = np.array([math.erf(float(v)) for v in x])
    # Two roundings of the ratio, one of the exponential's argument (at most 36): a few ulps.
    np.testing.assert_allclose(run("Erf", x), expected, rtol=1e-14, atol=0)
    assert run("Erf", x.astype(np.float32)).dtype == np.float32
    assert np.isnan(run("Erf", np.array([np.nan])))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_integers_are_divided_towards_zero(dtype):
    a, b = np.meshgrid(np.arange(-9, 10, dtype=dtype), np.array([-4, -1, 1, 3], dtype))
    expected = np.trunc(a / b).astype(dtype)
    found = run("Div", a, b)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["Sigmoid", "Softplus", "Gelu", "Mish", "Elu", "Selu", "Swish"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_activations_keep_the_type(name, dtype):
    assert run(name, np.linspace(-3, 3, 7).astype(dtype)).dtype == dtype


def test_a_power_has_the_type_of_its_base():
    assert run("Pow", np.array([2, 3], np.int32), np.array([0.5, 2.0])).tolist() == [1, 9]
    assert run("Pow", np.array([2.0], np.float32), np.array([3], np.int64)).dtype == np.float32
    assert run("Pow", np.array([1, 2]), np.array([-1, -1])).tolist() == [1, 0]
