"""Casts to types that NumPy lacks land where ml_dtypes, written by others, puts them."""

import ml_dtypes
import numpy as np
import pytest

from edge.errors import UnsupportedModel
from edge.runtime.host_ops.types import cast, held

FLOATS = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "float6e2m3": ml_dtypes.float6_e2m3fn,
    "float6e3m2": ml_dtypes.float6_e3m2fn,
    "float4e2m1": ml_dtypes.float4_e2m1fn,
}
NUMBERS = np.concatenate(
    [
        np.array([0.0, -0.0, np.inf, -np.inf], np.float32),
        *(
            np.random.default_rng(1).normal(size=400).astype(np.float32) * 2.0**e
            for e in (-20, 0, 9)
        ),
        np.ldexp(np.float32(1), np.arange(-140, 127)).astype(np.float32),
        np.arange(-600, 600, 0.25, np.float32),
    ]
)


@pytest.mark.parametrize("name", FLOATS)
def test_a_cast_rounds_as_ml_dtypes_does(name):
    expected = NUMBERS.astype(FLOATS[name]).astype(np.float32)
    found = cast(NUMBERS, to=name, saturate=0)
    np.testing.assert_array_equal(found, expected)
    zeros = expected == 0
    np.testing.assert_array_equal(np.signbit(found[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize("name", [name for name in FLOATS if name != "bfloat16"])
def test_a_saturating_cast_ends_at_the_largest_number(name):
    largest = float(ml_dtypes.finfo(FLOATS[name]).max)
    beyond = np.array([np.inf, -np.inf, 1e9, -1e9], np.float32)
    assert cast(beyond, to=name).tolist() == [largest, -largest, largest, -largest]


@pytest.mark.parametrize("name, dtype", [("int4", ml_dtypes.int4), ("uint4", ml_dtypes.uint4)])
def test_a_cast_to_few_bits_keeps_the_lowest(name, dtype):
    whole = np.arange(-40, 40)
    assert cast(whole, to=name).dtype == held(name)
    np.testing.assert_array_equal(cast(whole, to=name), whole.astype(dtype).astype(held(name)))


def test_texts_are_read_and_written():
    texts = np.array(["1e-5", "+INF", "-inf", "NaN", "100.5"], object)
    numbers = cast(texts, to="float32")
    expected = np.array([1e-5, np.inf, -np.inf, np.nan, 100.5], np.float32)
    np.testing.assert_array_equal(numbers, expected)
    assert cast(numbers, to="string").tolist() == ["1e-05", "INF", "-INF", "NaN", "100.5"]
    assert cast(np.array(["9007199254740993"], object), to="int64").tolist() == [2**53 + 1]


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(UnsupportedModel, match="'float5e3m1'"):
        cast(NUMBERS, to="float5e3m1")
