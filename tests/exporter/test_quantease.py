"""Coordinate descent: every sweep lowers what it says, to a point that no single change improves."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edge.exporter.layer_error import output_error
from edge.exporter.quantize import Method, quantize
from edge.exporter.refinements.quantease import DAMP, quantease
from edge.format.formats import CODES, WeightFormat
from tests.exporter.test_data_aware import correlated

FORMS = [
    WeightFormat("int4", 32, True),
    WeightFormat("int4", 64),
    WeightFormat("int8", 32),
    WeightFormat("int8"),
    WeightFormat("int4", 256, True),
    WeightFormat("int3", 256),
    WeightFormat("int2", 256, True),
]


def rounded(matrix, form, h, rounding="rtn"):
    return quantize(matrix, Method(form, "minmax" if form.offset else "absmax", rounding), h)


def damped(h):
    return h + DAMP * np.diagonal(h).mean() * np.eye(len(h))


def error(matrix, tensor, h):
    return output_error(tensor.dequantize() - matrix, h)


@pytest.mark.parametrize("rounding", ["rtn", "gptq"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_sweep_lowers_the_error(form, rounding):
    matrix, h = correlated()
    tensor = rounded(matrix, form, h, rounding)
    errors = [error(matrix, tensor, damped(h))]
    for sweeps in (1, 2, 4):
        errors.append(error(matrix, quantease(matrix, tensor, h, sweeps), damped(h)))
    # float32 keeps the gradient through all sweeps: a few units of its last place
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(errors))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_in_the_end_no_single_code_can_be_better(form):
    matrix, h = correlated(rows=8, columns=96, seed=2)
    tensor = quantease(matrix, rounded(matrix, form, h), h, sweeps=60)
    best = error(matrix, tensor, damped(h))
    for row, column in np.ndindex(8, 96):
        for step in (-1, 1):
            codes = tensor.codes.astype(np.int16)
            codes[row, column] += step
            if 0 <= codes[row, column] < CODES[form.kind].levels:
                moved = replace(tensor, codes=codes.astype(np.uint8))
                assert error(matrix, moved, damped(h)) >= best * (1 - 1e-4)


def test_scales_are_stored_ones_and_of_rows_they_stay():
    matrix, h = correlated()
    grouped = quantease(matrix, rounded(matrix, FORMS[0], h), h)
    for part in (grouped.scales, grouped.offsets):
        np.testing.assert_array_equal(part, part.astype(np.float16))
    two_levels = rounded(matrix, FORMS[4], h)
    refined = quantease(matrix, two_levels, h)
    np.testing.assert_array_equal(refined.scales, two_levels.scales)
    assert (refined.multipliers != two_levels.multipliers).any()
    by_row = rounded(matrix, FORMS[3], h)
    np.testing.assert_array_equal(quantease(matrix, by_row, h).scales, by_row.scales)


def test_weights_on_the_grid_stay():
    matrix, h = correlated()
    tensor = rounded(matrix, FORMS[1], h)
    again = quantease(tensor.dequantize(), tensor, h)
    np.testing.assert_array_equal(again.codes, tensor.codes)
    np.testing.assert_array_equal(again.scales, tensor.scales)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_what_cannot_be_helped_stays_finite(form):
    """Groups of zeros, inputs that are always zero, columns that no group divides."""
    matrix, h = correlated(columns=100)
    matrix[:, :40] = 0
    h[:, 50:60] = h[50:60] = 0
    tensor = quantease(matrix, rounded(matrix, form, h), h)
    assert np.isfinite(tensor.dequantize()).all()
    assert (
        not quantease(matrix, rounded(matrix, form, h), np.zeros_like(h)).dequantize()[:, 0].any()
    )


def test_rows_side_by_side_are_as_one_after_the_other(monkeypatch):
    matrix, h = correlated(rows=40)
    method = Method(FORMS[0], "minmax", "gptq", refinement="quantease")
    whole = quantize(matrix, method, h)
    monkeypatch.setattr("edge.exporter.quantize.REFINED_ROWS", 16)
    parts = quantize(matrix, method, h)
    assert error(matrix, parts, h) == pytest.approx(error(matrix, whole, h), rel=1e-3)
    assert parts.codes.shape == whole.codes.shape and parts.offsets.shape == whole.offsets.shape
