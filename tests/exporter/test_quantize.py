"""Quantizers: what is exact, and how far the rest may move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.exporter.quantize import Method, float_error, quantization_error, quantize
from edge.exporter.scales import SCALES
from edge.exporter.scales.stored import stored
from edge.format.formats import CODES, QuantizedTensor, WeightFormat

METHODS = [
    *[Method(WeightFormat("int8", g), "absmax") for g in (0, 32, 64, 128)],
    *[Method(WeightFormat("int8", g), "least_squares") for g in (32, 64, 128)],
    Method(WeightFormat("int5", 32), "signed_absmax"),
    Method(WeightFormat("int5", 32, True), "minmax"),
    *[Method(WeightFormat("int4", g), "signed_absmax") for g in (32, 64, 128)],
    *[Method(WeightFormat("int4", g, True), "minmax") for g in (32, 64, 128)],
    Method(WeightFormat("ternary"), "absmax"),
    Method(WeightFormat("ternary"), "absmean"),
    Method(WeightFormat("ternary"), "absmean_all"),
]
ON_GRID = [method for method in METHODS if not method.scales.startswith("absmean")]
SEARCHED = [
    Method(form, scales)
    for scales in ("percentile", "mse", "aciq", "kl", "hqq", "twn")
    for form in (
        WeightFormat("int8", 0),
        WeightFormat("int4", 32),
        WeightFormat("int4", 64, True),
        WeightFormat("ternary"),
    )
    if form.offset or scales != "hqq"
    if form.kind == "ternary" or scales != "twn"
]
SHAPES = [(1, 32), (3, 33), (17, 100), (5, 300)]


def normal(shape, seed=0, spread=0.05):
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


def steps(tensor: QuantizedTensor) -> np.ndarray:
    """|scale| of every weight."""
    width = tensor.format.group or tensor.shape[1]
    return np.repeat(np.abs(tensor.scales), width, axis=1)[:, : tensor.shape[1]]


@pytest.mark.parametrize("method", METHODS + SEARCHED, ids=lambda m: f"{m.format}-{m.scales}")
@pytest.mark.parametrize("shape", SHAPES)
def test_codes_and_scales_are_those_of_the_format(method, shape):
    tensor = quantize(normal(shape), method)
    form = method.format
    assert tensor.codes.dtype == np.uint8 and tensor.shape == shape
    assert tensor.codes.max() < CODES[form.kind].levels
    assert tensor.scales.shape == (shape[0], -(-shape[1] // form.group) if form.group else 1)
    assert (tensor.offsets is not None) == form.offset
    for part in (tensor.scales, tensor.offsets):
        if part is not None:
            np.testing.assert_array_equal(part, part.astype(form.scale_type).astype(np.float32))


@pytest.mark.parametrize("method", METHODS[:-3], ids=lambda m: f"{m.format}-{m.scales}")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spread", [1e-6, 1e-4, 0.05, 30.0])
def test_no_weight_moves_by_more_than_half_a_step(method, shape, spread):
    matrix = normal(shape, spread=spread)
    tensor = quantize(matrix, method)
    moved = np.abs(tensor.dequantize() - matrix)
    # The largest code times the float16 scale may fall short of the largest weight by 2**-11 of
    # it; the signed grid lacks the level that mirrors its extreme one: another half step.
    slack = np.abs(matrix).max() * 2**-11
    half = 1.0 if method.scales == "signed_absmax" else 0.5
    assert (moved <= half * steps(tensor) * (1 + 1e-5) + slack).all()


@pytest.mark.parametrize("method", METHODS + SEARCHED, ids=lambda m: f"{m.format}-{m.scales}")
def test_zeros_stay_zeros(method):
    matrix = np.zeros((17, 96), np.float32)
    tensor = quantize(matrix, method)
    assert not tensor.dequantize().any()
    assert quantization_error(matrix, tensor) == 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from(range(len(ON_GRID))))
@settings(max_examples=60, deadline=None)
def test_a_matrix_on_the_grid_is_stored_exactly(seed, rows, which):
    """As long as every group has its extreme codes, which set the scale."""
    method, rng = ON_GRID[which], np.random.default_rng(seed)
    form = method.format
    columns = 2 * (form.group or 32)
    codes = rng.integers(0, CODES[form.kind].levels, (rows, columns)).astype(np.uint8)
    width = form.group or columns
    top = CODES[form.kind].levels - 1
    symmetric = method.scales in ("absmax", "least_squares")
    codes[:, ::width], codes[:, 1::width] = (top, top) if symmetric else (0, top)
    if symmetric:  # int8 has a code -128 that a symmetric grid does not use
        codes = np.maximum(codes, 2 * form.zero - top)
    groups = columns // width
    scales = rng.uniform(1e-3, 2, (rows, groups)).astype(np.float16).astype(np.float32)
    offsets = rng.normal(0, 1, (rows, groups)).astype(np.float16).astype(np.float32)
    source = QuantizedTensor(form, codes, scales, offsets if form.offset else None)
    matrix = source.dequantize()
    tensor = quantize(matrix, method)
    if not form.offset:
        np.testing.assert_array_equal(tensor.dequantize(), matrix)
    # scale * code + offset is itself rounded to float32, so its scale is found to 2**-24 only
    assert quantization_error(matrix, tensor) < 1e-6


def test_smaller_groups_never_move_weights_further():
    """A row, then groups of 128, 64 and 32; of a scale a tensor, every row has the largest's."""
    matrix = normal((64, 512), spread=1) * np.random.default_rng(1).lognormal(0, 1, (64, 1))
    matrix = matrix.astype(np.float32)
    errors = [
        quantization_error(matrix, quantize(matrix, Method(WeightFormat("int8", g), "absmax")))
        for g in (0, 128, 64, 32)
    ]
    step = np.abs(matrix).max() / 127
    whole = np.linalg.norm(np.rint(matrix / step) * step - matrix) / np.linalg.norm(matrix)
    assert whole > errors[0] > errors[1] > errors[2] > errors[3]


def test_int8_weights_lie_within_127_steps_of_zero_on_both_sides():
    """TensorFlow Lite's rule for 8-bit weights: a zero point of 0, -127 to 127."""
    tensor = quantize(normal((64, 512)), Method(WeightFormat("int8"), "absmax"))
    codes = tensor.codes.astype(int) - tensor.format.zero
    assert codes.min() == -127 and codes.max() == 127


def test_a_second_term_of_4_bits_leaves_an_eighth_of_the_first_ones_error():
    """OMSE's multi-term weights (arXiv:1902.06822): what is left is quantized once more."""
    matrix, method = normal((64, 512)), Method(WeightFormat("int4", 32, True), "mse")
    left = matrix - quantize(matrix, method).dequantize()
    again = left - quantize(left, method).dequantize()
    assert np.linalg.norm(again) < np.linalg.norm(left) / 8


def test_int8_by_groups_is_better_than_by_rows():
    matrix = normal((64, 512)) * np.random.default_rng(1).lognormal(0, 1, (1, 512)).astype("f4")
    by_group, by_row = (
        quantization_error(matrix, quantize(matrix, Method(WeightFormat("int8", g), "absmax")))
        for g in (32, 0)
    )
    assert 2 * by_group < by_row


def test_least_squares_moves_no_group_further_than_absmax_and_all_together_much_less():
    """By 15 % in squared error at least, for normal weights in groups of 32."""
    matrix, form = normal((256, 512)), WeightFormat("int8", 32)
    found, absmax = (
        ((quantize(matrix, Method(form, scales)).dequantize() - matrix) ** 2).reshape(-1, 32)
        for scales in ("least_squares", "absmax")
    )
    assert (found.sum(axis=1) <= absmax.sum(axis=1) * (1 + 1e-5)).all()
    assert found.sum() < 0.85 * absmax.sum()


def test_the_signed_grid_beats_the_symmetric_one_at_4_bits():
    """By 15 % in squared error at least: all 16 levels are in use."""
    matrix = normal((256, 512))
    form = WeightFormat("int4", 32)
    signed, symmetric = (
        quantization_error(matrix, quantize(matrix, Method(form, scales))) ** 2
        for scales in ("signed_absmax", "absmax")
    )
    assert signed < 0.85 * symmetric


def test_an_offset_serves_weights_of_one_sign():
    matrix = np.abs(normal((64, 256)))
    form = WeightFormat("int4", 32)
    symmetric = quantization_error(matrix, quantize(matrix, Method(form, "signed_absmax")))
    with_offset = Method(WeightFormat("int4", 32, True), "minmax")
    assert quantization_error(matrix, quantize(matrix, with_offset)) ** 2 < 0.3 * symmetric**2


def test_q4_0_of_ggml_is_the_signed_grid():
    gguf = pytest.importorskip("gguf")
    matrix = normal((16, 128))
    blocks = gguf.quants.quantize(matrix, gguf.GGMLQuantizationType.Q4_0)
    theirs = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q4_0)
    ours = quantize(matrix, Method(WeightFormat("int4", 32), "signed_absmax"))
    width = np.repeat(np.abs(ours.scales), 32, axis=1)
    np.testing.assert_array_equal(
        ours.scales.ravel().astype(np.float16).view(np.uint16),
        blocks.reshape(-1, 18)[:, :2].copy().view(np.uint16).ravel(),
    )
    # ggml rounds against the scale before it became float16: ties may fall to the other side.
    assert (np.abs(ours.dequantize() - theirs) <= width * 1.001).all()
    assert np.mean(ours.dequantize() == theirs) > 0.99


def test_absmean_is_the_rounding_of_bitnet():
    matrix = normal((8, 64))
    tensor = quantize(matrix, Method(WeightFormat("ternary"), "absmean"))
    gamma = np.abs(matrix).mean(axis=1, keepdims=True)
    expected = np.clip(np.rint(matrix / gamma), -1, 1) * gamma
    np.testing.assert_allclose(tensor.dequantize(), expected, rtol=1e-6)


@pytest.mark.parametrize("group", [32, 128])
def test_scales_beyond_float16_saturate(group):
    matrix = np.full((2, 128), 1e12, np.float32)
    for method in METHODS + SEARCHED:
        if method.format.group == group:
            assert np.isfinite(quantize(matrix, method).dequantize()).all()


def test_groups_of_tiny_weights_do_not_become_zero():
    matrix = np.full((1, 32), 1e-7, np.float32)
    tensor = quantize(matrix, Method(WeightFormat("int8", 32), "absmax"))
    assert tensor.dequantize().all()


@given(st.floats(-(2.0**99), 2.0**99, width=32))
def test_stored_scales_are_finite_and_keep_their_sign(value):
    (half,) = stored(np.array([value], np.float32), WeightFormat("int4", 32))
    assert np.isfinite(half) and np.sign(half) == np.sign(value)
    assert abs(value) > 65504 or abs(half - value) <= max(abs(value) * 2**-11, 2**-24)


def test_float16_knows_what_it_cannot_hold():
    form = WeightFormat("float16")
    assert float_error(normal((3, 40)), form) < 2**-11
    assert float_error(np.full((2, 2), 1e5, np.float32), form) == float("inf")
    assert float_error(normal((3, 40)), WeightFormat("float32")) == 0.0


def test_every_scale_search_that_needs_no_data_is_tested_here():
    assert {m.scales for m in METHODS + SEARCHED} == {
        name for name, entry in SCALES.items() if not entry.needs_data
    }
