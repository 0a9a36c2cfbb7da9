"""Scales of two levels: what can be stored, how far it moves weights, what it is the best of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.exporter.quantize import Method, grouped, quantization_error, quantize
from edge.exporter.scales import scale_method, search, two_level
from edge.format.formats import CODES, QuantizedTensor, WeightFormat

OFFSET4, OFFSET5 = WeightFormat("int4", 256, True), WeightFormat("int5", 256, True)
INT3, INT6 = WeightFormat("int3", 256), WeightFormat("int6", 256)
INT2 = WeightFormat("int2", 256, True)
FORMS = [OFFSET4, OFFSET5, INT2, INT3, INT6]
SHAPES = [(1, 16), (3, 33), (17, 300), (5, 576)]


def normal(shape, seed=0, spread=0.05):
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


def plain(form: WeightFormat) -> str:
    return "minmax" if form.offset else "signed_absmax"


def largest(form: WeightFormat) -> int:
    return 15 if form == INT2 else 127


@pytest.mark.parametrize("scales", ["plain", "mse", "percentile", "aciq", "kl"])
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_parts_are_those_of_the_format(form, scales, shape):
    tensor = quantize(normal(shape), Method(form, plain(form) if scales == "plain" else scales))
    rows, columns = shape
    assert tensor.codes.dtype == np.uint8 and tensor.codes.max() < CODES[form.kind].levels
    for numbers in (tensor.scales, tensor.offsets) if form.offset else (tensor.scales,):
        assert numbers.shape == (rows, -(-columns // 256))
        np.testing.assert_array_equal(numbers, numbers.astype(np.float16).astype(np.float32))
    factors = [tensor.multipliers, tensor.offset_multipliers][: 1 + form.offset]
    for part in factors:
        assert part.dtype == np.int8 and part.shape == (rows, form.runs(columns))
        assert np.abs(part.astype(int)).max() <= largest(form)
        assert form != INT2 or part.min() >= 0
    assert (tensor.offset_multipliers is not None) == form.offset


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [1e-3, 0.05, 30.0])
def test_no_weight_moves_by_more_than_a_step_and_what_the_levels_take(form, shape, spread):
    """Half a step by rounding.  Least squares may move the offset by as much again, and a signed
    grid lacks the level that mirrors its extreme one.  A multiplier is right to a half; the group's
    number is the largest / 88 (of int2 88 / 127 * 15) at most, and rounded by 2**-11.
    """
    matrix = normal(shape, spread=spread)
    tensor = quantize(matrix, Method(form, plain(form)))
    scales, offsets = (part for part in tensor.steps())
    width, top = form.step_columns, CODES[form.kind].levels - 1 - form.zero
    most = largest(form)
    slack = max(top, form.zero) * np.abs(scales).max() * (0.5 * 127 / 88 / most + 2**-11)
    if offsets is not None:
        slack = 2 * slack + np.abs(offsets).max() * (0.5 / most + 2**-11)
    moved = np.abs(grouped(np.abs(tensor.dequantize() - matrix), width)).max(axis=2)
    assert (moved <= np.abs(scales) + slack + 1e-6 * spread).all()


@pytest.mark.parametrize("form", FORMS, ids=str)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 20), columns=st.sampled_from([256, 576]))
@settings(max_examples=20, deadline=None)
def test_a_matrix_on_the_grid_is_stored_exactly(form, seed, rows, columns):
    """If a group has the largest multipliers, and runs have their extreme codes."""
    rng = np.random.default_rng(seed)
    width, groups, runs = form.step_columns, -(-columns // 256), columns // form.step_columns
    codes = rng.integers(0, CODES[form.kind].levels, (rows, columns)).astype(np.uint8)
    codes[:, ::width], codes[:, 1::width] = 0, CODES[form.kind].levels - 1
    numbers = [
        rng.uniform(1e-3, 2, (rows, groups)).astype(np.float16).astype(np.float32)
        for _ in range(1 + form.offset)
    ]
    most = largest(form)
    multipliers = [rng.integers(most // 6, most, (rows, runs)).astype(np.int8) for _ in numbers]
    for part in multipliers:
        part[:, :: 256 // width] = most
    if form == INT2:
        numbers[1] *= -1
    elif form.offset:
        multipliers[1] *= -1
    offsets = numbers[1] if form.offset else None
    source = QuantizedTensor(form, codes, numbers[0], offsets, *multipliers)
    matrix = source.dequantize()
    tensor = quantize(matrix, Method(form, plain(form)))
    np.testing.assert_array_equal(tensor.codes, codes)
    # scale * code + offset is itself rounded to float32, so its parts are found to 2**-24 only
    assert quantization_error(matrix, tensor) < (1e-6 if form.offset else 1e-12)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_zeros_and_runs_of_zeros_stay_zeros(form):
    matrix = normal((5, 600))
    matrix[0], matrix[1, :256], matrix[2, 32:64] = 0, 0, 0
    tensor = quantize(matrix, Method(form, plain(form)))
    assert not tensor.dequantize()[matrix == 0].any()


def test_runs_on_either_side_of_zero_share_a_sign_and_lose_a_step_at_most():
    """Multipliers of int2 have none: offsets of a group are all below 0, or all above."""
    matrix = np.abs(normal((3, 256))) + np.float32(0.05)
    matrix[0, 64:80] *= -1
    matrix[1, 64:80] = normal((1, 16))
    tensor = quantize(matrix, Method(INT2, "minmax"))
    scales, offsets = tensor.steps()
    assert (offsets[:2] <= 0).all() and (offsets[2] > 0).any() and (offsets[2] >= 0).all()
    moved = grouped(np.abs(tensor.dequantize() - matrix), 16).max(axis=2)
    assert (moved <= scales + np.abs(offsets) / 30 + 1e-6).all()


def test_a_run_of_small_weights_beside_large_ones_does_not_vanish():
    matrix = normal((1, 256))
    matrix[0, 16:32] *= 1e-4
    tensor = quantize(matrix, Method(INT6, "signed_absmax"))
    assert np.abs(tensor.multipliers).min() == 1


@pytest.mark.parametrize("scales", ["minmax", "mse", "hqq"])
def test_two_levels_cost_4_bits_next_to_nothing(scales):
    """Against a float16 scale and offset for each 32: within a hundredth, in 0.375 bits less."""
    matrix = normal((256, 576))
    two, one = (
        quantization_error(matrix, quantize(matrix, Method(WeightFormat("int4", g, True), scales)))
        for g in (256, 32)
    )
    assert two < 1.01 * one


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_search_over_a_group_s_number_never_costs(form, monkeypatch):
    matrix = normal((64, 576))
    method = Method(form, plain(form))
    searched = (quantize(matrix, method).dequantize() - matrix) ** 2
    monkeypatch.setattr(two_level, "REACHES", range(127, 126, -1))
    first = (quantize(matrix, method).dequantize() - matrix) ** 2
    a, b = (np.add.reduceat(error, [0, 256, 512], axis=1) for error in (searched, first))
    assert (a <= b * (1 + 1e-5)).all() and a.sum() < b.sum()


def test_the_search_heeds_the_weights_of_columns():
    matrix, weights = normal((64, 256)), np.random.default_rng(1).lognormal(0, 2, (16, 16))
    groups, costs = grouped(matrix, 16), []
    for heeded in (weights.astype(np.float32), None):
        parts = two_level.two_levels(groups, scale_method("mse")(groups, INT3), INT3, heeded)
        steps, _ = QuantizedTensor(INT3, np.zeros(matrix.shape, np.uint8), **parts).steps()
        moved = search.residual(groups, (steps, None), INT3)
        costs.append((moved**2 * weights).sum(axis=(1, 2)))
    assert (costs[0] <= costs[1] * (1 + 1e-5)).all() and costs[0].sum() < costs[1].sum()
