"""Norms over the last axis in their exported spellings become one operator."""

import numpy as np
import pytest

from edge.exporter.graph.fuse.norms import recognise_norms
from tests.exporter.graph.building import Building, assert_same, ops, random

WIDTH = 24
GAIN, BIAS = 1 + random(WIDTH, seed=1) / 4, random(WIDTH, seed=2)


def mean(b, x, axis=-1, **attributes):
    return b("ReduceMean", x, [axis], **attributes)


def by_division(b, x, axis=-1, power=2.0):
    difference = b("Sub", x, mean(b, x, axis))
    variance = mean(b, b("Pow", difference, power), axis)
    return b("Div", difference, b("Sqrt", b("Add", variance, 1e-5)))


def by_reciprocal(b, x):
    difference = b("Sub", x, mean(b, x, 2))
    variance = b("ReduceMean", b("Mul", difference, difference), [2], keepdims=1)
    return b("Mul", b("Reciprocal", b("Sqrt", b("Add", 1e-5, variance))), difference)


def by_power(b, x):
    difference = b("Sub", x, mean(b, x))
    variance = mean(b, b("Mul", difference, difference))
    return b("Mul", difference, b("Pow", b("Add", variance, 1e-5), -0.5))


def by_one_over(b, x):
    difference = b("Sub", x, mean(b, x))
    variance = mean(b, b("Pow", difference, 2.0))
    return b("Mul", difference, b("Div", 1.0, b("Pow", b("Add", variance, 1e-5), 0.5)))


def root_mean_square(b, x):
    return b("Mul", x, b("Reciprocal", b("Sqrt", b("Add", mean(b, b("Mul", x, x)), 1e-6))))


def root_mean_square_divided(b, x):
    return b("Div", x, b("Sqrt", b("Add", mean(b, b("Pow", x, 2.0)), 1e-6)))


def as_tensorflow_has_it(b, x):
    """batch_normalization of TensorFlow, which Keras makes layer norms with; with gain and bias."""
    m = mean(b, x)
    difference = b("Sub", x, m)
    variance = mean(b, b("Mul", difference, difference))
    scale = b("Mul", b("Reciprocal", b("Sqrt", b("Add", variance, 1e-5))), GAIN)
    return b("Add", b("Mul", x, scale), b("Sub", BIAS, b("Mul", m, scale)))


def with_the_gain_on_the_deviation(b, x):
    difference = b("Sub", x, mean(b, x))
    variance = mean(b, b("Pow", difference, 2.0))
    scale = b("Mul", GAIN, b("Div", 1.0, b("Sqrt", b("Add", variance, 1e-5))))
    return b("Add", b("Mul", difference, scale), BIAS)


@pytest.mark.parametrize("spell", [as_tensorflow_has_it, with_the_gain_on_the_deviation])
def test_a_layer_norm_with_its_gain_inside_is_one_operator(spell):
    b = Building(x=("N", "T", WIDTH))
    before = b.model(b("Relu", spell(b, b("Neg", "x"))))
    after = recognise_norms(before)
    assert ops(after) == ["Neg", "LayerNormalization", "Relu"]
    assert np.array_equal(after.graph.constants[after.graph.nodes[1].inputs[1]], GAIN)
    assert_same(before, after, 3 * random(2, 5, WIDTH) + 1)


def test_a_scale_that_somebody_else_reads_keeps_the_gain_inside():
    b = Building(x=("N", WIDTH))
    y = with_the_gain_on_the_deviation(b, "x")
    scale = next(node.outputs[0] for node in b.nodes if node.op == "Mul")
    before = b.model(y, scale)
    assert "LayerNormalization" not in ops(recognise_norms(before))


SPELLINGS = [by_division, by_reciprocal, by_power, by_one_over]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_layer_norm_is_one_operator_with_its_gain_and_bias(spell):
    b = Building(x=("N", "T", WIDTH))
    y = b("Add", BIAS, b("Mul", spell(b, b("Neg", "x")), GAIN.reshape(1, 1, WIDTH)))
    before = b.model(b("Relu", y))
    after = recognise_norms(before)
    assert ops(after) == ["Neg", "LayerNormalization", "Relu"]
    norm = after.graph.nodes[1]
    assert norm.attributes["epsilon"] == pytest.approx(1e-5)
    assert np.array_equal(after.graph.constants[norm.inputs[1]], GAIN)
    assert np.array_equal(after.graph.constants[norm.inputs[2]], BIAS)
    assert_same(before, after, 3 * random(2, 5, WIDTH) + 1)


@pytest.mark.parametrize("spell", [root_mean_square, root_mean_square_divided])
def test_an_rms_norm_is_one_operator_with_its_gain(spell):
    b = Building(x=("N", "T", WIDTH))
    before = b.model(b("Relu", b("Mul", GAIN, spell(b, b("Neg", "x")))))
    after = recognise_norms(before)
    assert ops(after) == ["Neg", "RMSNormalization", "Relu"]
    assert_same(before, after, random(2, 5, WIDTH))


def test_a_norm_without_a_gain_has_one_of_ones():
    b = Building(x=("N", WIDTH))
    before = b.model(by_division(b, "x"))
    after = recognise_norms(before)
    assert ops(after) == ["LayerNormalization"]
    assert_same(before, after, random(5, WIDTH))


def test_a_second_gain_stays_behind_the_norm():
    b = Building(x=("N", WIDTH))
    before = b.model(b("Mul", b("Mul", by_division(b, "x"), GAIN), GAIN))
    after = recognise_norms(before)
    assert ops(after) == ["LayerNormalization", "Mul"]
    assert_same(before, after, random(5, WIDTH))


def test_norms_over_another_axis_or_with_another_power_stay():
    for spell in (lambda b: by_division(b, "x", axis=1), lambda b: by_division(b, "x", power=3.0)):
        b = Building(x=("N", "T", WIDTH))
        before = b.model(spell(b))
        assert ops(recognise_norms(before)) == ops(before)


def test_a_variance_of_something_else_is_no_norm():
    b = Building(x=("N", WIDTH))
    variance = mean(b, b("Pow", b("Neg", "x"), 2.0))
    before = b.model(b("Div", "x", b("Sqrt", b("Add", variance, 1e-5))))
    assert ops(recognise_norms(before)) == ops(before)


def test_a_mean_that_somebody_else_reads_keeps_the_spelling():
    b = Building(x=("N", WIDTH))
    y = by_division(b, "x")
    before = b.model(y, b.nodes[0].outputs[0])
    after = recognise_norms(before)
    assert "LayerNormalization" not in ops(after)
    assert_same(before, after, random(5, WIDTH))


def test_a_gain_along_another_axis_stays_behind_the_norm():
    b = Building(x=("N", WIDTH, WIDTH))
    before = b.model(b("Mul", by_division(b, "x"), GAIN.reshape(WIDTH, 1)))
    after = recognise_norms(before)
    assert ops(after) == ["LayerNormalization", "Mul"]
    assert_same(before, after, random(2, WIDTH, WIDTH))
