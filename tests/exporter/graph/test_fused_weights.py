"""What is done to a layer's channels by constants is done to its weights once."""

from dataclasses import replace

import numpy as np
import pytest

from edge.exporter.graph.fuse.batch_norms import fold_into_convolutions
from edge.exporter.graph.fuse.linear import make_linear
from edge.exporter.graph.grid import Grid
from tests.exporter.graph.building import Building, assert_same, ops, random


def norm(channels):
    """Inputs of a BatchNormalization behind x."""
    return [1 + random(channels, seed=i) / 4 for i in (1, 2, 3)] + [
        random(channels, seed=4) ** 2 + 1
    ]


def per_channel(values):
    return values.reshape(-1, 1, 1)


# --- convolutions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "op, groups", [("Conv", 1), ("Conv", 2), ("Conv", 6), ("ConvTranspose", 1)]
)
@pytest.mark.parametrize("biased", [False, True])
def test_a_batch_norm_behind_a_convolution_is_in_its_weights(op, groups, biased):
    b = Building(x=("N", 6, 8, 9))
    shape = (6, 6 // groups, 3, 3)
    bias = [random(6, seed=7)] if biased else []
    y = b(op, "x", random(*shape), *bias, group=groups, pads=(1, 1, 1, 1))
    before = b.model(b("Relu", b("BatchNormalization", y, *norm(6), epsilon=1e-3)))
    after = fold_into_convolutions(before)
    assert ops(after) == [op, "Relu"]
    assert_same(before, after, random(2, 6, 8, 9))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_factors_and_shifts_on_both_sides_are_in_the_weights(groups):
    b = Building(x=("N", 6, 8, 9))
    x = b("Add", b("Mul", per_channel(random(6, seed=1)), "x"), per_channel(random(6, seed=2)))
    y = b("Conv", x, random(12, 6 // groups, 3, 3), group=groups)
    y = b("Sub", per_channel(random(12, seed=3)), b("Div", y, 1.7))
    before = b.model(b("Sub", y, per_channel(random(12, seed=4))))
    after = fold_into_convolutions(before)
    assert ops(after) == ["Conv"]
    assert_same(before, after, random(2, 6, 8, 9))


def test_a_shift_before_padding_stays_and_a_factor_does_not():
    b = Building(x=("N", 6, 8, 9))
    w = random(6, 6, 3, 3)
    before = b.model(b("Conv", b("Mul", b("Add", "x", 0.5), 3.0), w, pads=(1, 1, 1, 1)))
    after = fold_into_convolutions(before)
    assert ops(after) == ["Add", "Conv"]
    assert_same(before, after, random(2, 6, 8, 9))
    b = Building(x=("N", 6, 8, 9))
    before = b.model(b("Conv", b("Add", "x", 0.5), w, auto_pad="SAME_UPPER"))
    assert ops(fold_into_convolutions(before)) == ["Add", "Conv"]


@pytest.mark.parametrize("groups", [1, 6])
def test_a_factor_behind_which_something_is_added_is_taken_past_it(groups):
    b = Building(x=("N", 6, 8, 9))
    x = b("Add", b("Mul", b("Relu", "x"), per_channel(random(6))), 0.25)
    before = b.model(b("Conv", x, random(6, 6 // groups, 3, 3), group=groups, pads=(1, 1, 1, 1)))
    after = fold_into_convolutions(before)
    assert ops(after) == ["Relu", "Add", "Conv"]
    assert_same(before, after, random(2, 6, 8, 9))


def test_a_factor_of_zero_or_one_that_others_read_is_not_taken_past_a_sum():
    for factor, more in ((0.0, False), (2.0, True)):
        b = Building(x=("N", 6, 8, 9))
        scaled = b("Mul", b("Relu", "x"), factor)
        y = b("Conv", b("Add", scaled, 0.25), random(6, 6, 3, 3), pads=(1, 1, 1, 1))
        before = b.model(y, *[scaled] * more)
        assert ops(fold_into_convolutions(before)) == ops(before)


def test_a_batch_norm_alone_is_a_factor_and_a_shift():
    b = Building(x=("N", 6, 4, 4))
    before = b.model(b("BatchNormalization", "x", *norm(6)))
    after = fold_into_convolutions(before)
    assert ops(after) == ["Mul", "Add"]
    assert_same(before, after, random(2, 6, 4, 4))


def test_what_others_read_too_or_what_varies_in_space_stays():
    b = Building(x=("N", 6, 4, 4))
    y = b("Conv", "x", random(6, 6, 1, 1))
    before = b.model(b("Mul", y, 2.0), y)
    assert ops(fold_into_convolutions(before)) == ["Conv", "Mul"]
    b = Building(x=("N", 6, 4, 4))
    before = b.model(b("Mul", b("Conv", "x", random(6, 6, 1, 1)), random(1, 6, 1, 4)))
    assert ops(fold_into_convolutions(before)) == ["Conv", "Mul"]
    b = Building(x=("N", 6, 4, 4))
    before = b.model(b("Mul", b("Conv", "x", random(1, 6, 1, 1)), per_channel(random(6))))
    assert ops(fold_into_convolutions(before)) == ["Conv", "Mul"], "one channel becomes six"


def test_weights_that_convolutions_share_are_left_to_be_shared():
    b = Building(x=("N", 6, 4, 4))
    w = b.constant(random(6, 6, 1, 1))
    before = b.model(b("Mul", b("Conv", "x", w), 2.0), b("Mul", b("Conv", b("Neg", "x"), w), 3.0))
    after = fold_into_convolutions(before)
    assert ops(after).count("Mul") == 2 and w in after.graph.constants


def test_what_float32_cannot_hold_is_not_folded():
    for values in ([1, 1, -2.0], [1e38, 0, 1e-12], [np.nan, 0, 1]):
        b = Building(x=("N", 6, 4, 4))
        gain, mean, variance = (np.full(6, value, np.float32) for value in values)
        y = b("Conv", "x", random(6, 6, 1, 1))
        before = b.model(b("BatchNormalization", y, gain, gain * 0, mean, variance, epsilon=0.0))
        assert ops(fold_into_convolutions(before)) == ["Conv", "BatchNormalization"]
    for factor in (np.inf, np.nan, 1e30):
        b = Building(x=(2, 8))
        before = b.model(b("Mul", b("MatMul", "x", 1e10 * random(8, 8)), np.float64(factor)))
        assert ops(make_linear(before)) == ["edge.Linear", "Mul"]


# --- products -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40,), (3, 40), (2, 3, 40)])
def test_a_product_with_a_matrix_and_what_is_beside_it_is_one_layer(shape):
    b = Building(x=shape)
    x = b("Add", b("Mul", "x", random(40, seed=1)), 0.25)
    y = b("Add", random(24, seed=3), b("MatMul", x, random(40, 24)))
    before = b.model(b("Relu", b("Div", y, 4.0)))
    after = make_linear(before)
    assert ops(after) == ["edge.Linear", "Relu"]
    ((name, matrix),) = after.matrices.items()
    assert matrix.weight.shape == (24, 40) and matrix.bias.shape == (24,)
    assert after.graph.nodes[0].attributes == {"weight": name}
    assert not after.graph.constants
    assert_same(before, after, random(*shape))


@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("added", [None, (24,), (1, 24), (), (5, 1), (5, 24)])
def test_gemm_is_a_layer(turned, added):
    b = Building(x=(40, 5) if turned[0] else (5, 40))
    w = random(24, 40) if turned[1] else random(40, 24)
    more = [] if added is None else [random(*added, seed=5)]
    y = b("Gemm", "x", w, *more, transA=turned[0], transB=turned[1], alpha=0.5, beta=2.0)
    before = b.model(y)
    after = make_linear(before)
    assert "edge.Linear" in ops(after) and "Gemm" not in ops(after)
    assert ("Add" in ops(after)) == (added in [(5, 1), (5, 24)])
    assert_same(before, after, random(40, 5) if turned[0] else random(5, 40))


def test_gemm_with_something_that_is_no_constant_added():
    b = Building(x=(5, 40), c=(5, 24))
    before = b.model(b("Gemm", "x", random(40, 24), "c", beta=0.5))
    after = make_linear(before)
    assert ops(after) == ["Mul", "edge.Linear", "Add"] or ops(after) == [
        "edge.Linear",
        "Mul",
        "Add",
    ]
    assert_same(before, after, random(5, 40), random(5, 24, seed=1))


def test_a_large_left_operand_is_a_layer_between_transposes():
    b = Building(x=("N", 40, 7))
    before = b.model(b("MatMul", random(36, 40), "x"))
    after = make_linear(before)
    assert ops(after) == ["Transpose", "edge.Linear", "Transpose"]
    assert_same(before, after, random(2, 40, 7))


def test_small_and_batched_constants_stay_products():
    for x, left, right in (
        ((5, 3), None, (3, 24)),
        ((5, 24), None, (24, 3)),
        ((2, 5, 8), None, (2, 8, 8)),
        ((8, 7), (31, 8), None),
        ((8,), None, (1, 8, 8)),
    ):
        b = Building(x=x)
        pair = (random(*left), "x") if left else ("x", random(*right))
        assert ops(make_linear(b.model(b("MatMul", *pair)))) == ["MatMul"]


def test_a_matrix_with_a_leading_axis_of_length_one_is_a_matrix():
    b = Building(x=(2, 5, 8))
    before = b.model(b("MatMul", "x", random(1, 8, 8)))
    after = make_linear(before)
    assert ops(after) == ["edge.Linear"]
    assert_same(before, after, random(2, 5, 8))


def test_a_matrix_that_layers_share_is_stored_once_and_keeps_its_values():
    b = Building(x=(2, 8))
    w = b.constant(random(8, 8))
    once = b("Mul", b("MatMul", "x", w), 2.0)
    before = b.model(b("Add", b("MatMul", once, w), random(8)))
    after = make_linear(before)
    assert len(after.matrices) == 1 and ops(after).count("edge.Linear") == 2
    assert_same(before, after, random(2, 8))


def test_codes_that_are_to_be_kept_take_a_shift_and_no_factor():
    b = Building(x=(2, 8))
    w = b.constant(random(8, 8), "codes.weight")
    y = b("Mul", b("Add", b("MatMul", "x", w), random(8)), 2.0)
    before = b.model(y)
    grid = Grid(8, -128, np.ones(1, np.float32), np.zeros(1, np.int16))
    after = make_linear(replace(before, grids={"codes.weight": grid}))
    assert ops(after) == ["edge.Linear", "Mul"]
    matrix = after.matrices["codes"]
    assert np.array_equal(matrix.weight, before.graph.constants[w].T) and matrix.bias is not None
    assert matrix.source == "codes.weight"


def test_a_shift_with_more_axes_than_the_product_stays():
    b = Building(x=(2, 8))
    before = b.model(b("Add", b("MatMul", "x", random(8, 8)), random(1, 1, 8)))
    after = make_linear(before)
    assert ops(after) == ["edge.Linear", "Add"]
    assert_same(before, after, random(2, 8))


def test_matrices_are_called_what_their_author_calls_them():
    b = Building(x=(2, 8))
    y = b("MatMul", "x", b.constant(random(8, 8), "block.0.fc.weight"))
    b("MatMul", y, b.constant(random(8, 8), "onnx::MatMul_12"))
    b.nodes[-1] = replace(b.nodes[-1], name="/encoder/layer.0/query/MatMul_1")
    b("MatMul", b.nodes[-1].outputs[0], b.constant(random(8, 8), "a weight/with: signs"))
    b.nodes[-1] = replace(b.nodes[-1], name="")
    after = make_linear(b.model(b.nodes[-1].outputs[0]))
    assert list(after.matrices) == ["block.0.fc", "encoder.layer.0.query", "a.weight.with.signs"]
