"""Weight formats: which there are, what they are called, what they take."""

import numpy as np
import pytest

from edge.format import spec
from edge.format.formats import CODES, FLOATS, QuantizedTensor, WeightFormat
from edge.format.spec import container, nbytes, weight_format

NAMES = [
    "code4-g128",
    "code4-g32",
    "code4-g64",
    "float16",
    "float32",
    "int2-g256-offset",
    "int3-g256",
    "int4-g128",
    "int4-g128-offset",
    "int4-g256-offset",
    "int4-g32",
    "int4-g32-offset",
    "int4-g64",
    "int4-g64-offset",
    "int5-g256-offset",
    "int5-g32",
    "int5-g32-offset",
    "int6-g256",
    "int8",
    "int8-g128",
    "int8-g32",
    "int8-g64",
    "ternary",
    "ternary-dense",
    "ternary-g256",
]


def test_the_formats_are_these():
    found = [WeightFormat(kind) for kind in FLOATS]
    for kind, codes in CODES.items():
        found += [WeightFormat(kind, group) for group in codes.groups]
        found += [WeightFormat(kind, group, True) for group in codes.shifted]
    assert sorted(map(str, found)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_its_format(name):
    assert str(weight_format(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", "int3", "int8-g16", "int8-offset", "int4", "int4-offset", "ternary-g32", "float16-g32"]
    + ["code4", "code4-g32-offset", "code4-g256"]
    + ["int6", "int6-g16", "int6-g256-offset", "int4-g256", "int5-g256", "int5-g64", "int3-g32"]
    + ["int3-g256-offset", "int2", "int2-g256", "int2-g32-offset", "int2-offset"]
    + ["ternary-dense-g256", "int8-g0", "int8-g032", "int4-g32-offset-offset", " int8", "int8\n"]
    + ["int8-g-32", "int8-g99999", "vector", "bytes", "int٨"],
)
def test_other_names_mean_nothing(name):
    with pytest.raises(ValueError, match="no weight format"):
        weight_format(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows, columns", [(1, 1), (16, 256), (17, 255), (4096, 4097)])
def test_every_tile_is_whole_lines(name, rows, columns):
    form = weight_format(name)
    assert form.tile_bytes(columns) % 64 == 0
    assert form.nbytes(rows, columns) == form.tiles(rows) * form.tile_bytes(columns)
    assert form.tiles(rows) * 16 - rows in range(16)
    kind, stored = container(name, (rows, columns))
    width = {"U8": 1, "F16": 2, "F32": 4}[kind]
    assert stored[0] == form.tiles(rows)
    assert stored[0] * stored[1] * width == nbytes(name, (rows, columns))


@pytest.mark.parametrize(
    "name, bits",
    [
        ("int8", 8 + 32 / 4096),
        ("int8-g32", 8.5),
        ("int8-g128", 8.125),
        ("int6-g256", 6 + 8 / 16 + 16 / 256),
        ("int5-g32", 5.5),
        ("int5-g256-offset", 5 + 2 * 8 / 32 + 2 * 16 / 256),
        ("int4-g256-offset", 4 + 2 * 8 / 32 + 2 * 16 / 256),
        ("int3-g256", 3 + 8 / 16 + 16 / 256),
        ("int2-g256-offset", 2 + 2 * 4 / 16 + 2 * 16 / 256),
        ("int4-g32", 4.5),
        ("int4-g32-offset", 5),
        ("int4-g64-offset", 4.5),
        ("code4-g64", 4.25 + 8 * 64 / 16 / 4096),
        ("ternary", 2 + 32 / 4096),
        ("ternary-g256", 2.125),
        ("float16", 16),
        ("float32", 32),
    ],
)
def test_bits_per_weight_of_a_large_matrix(name, bits):
    assert 8 * nbytes(name, (4096, 4096)) / 4096**2 == bits


def test_dense_ternary_takes_three_weights_in_five_bits():
    bits = 8 * nbytes("ternary-dense", (4096, 4800)) / (4096 * 4800)
    assert bits == pytest.approx(5 / 3 + 32 / 4800, rel=1e-12)


@pytest.mark.parametrize(
    "form, shape, size",
    [
        ("vector", (1,), 64),
        ("vector", (16,), 64),
        ("vector", (17,), 128),
        ("bytes", (1,), 64),
        ("bytes", (64,), 64),
        ("bytes", (65,), 128),
        ("int8", (1, 1), 64 + 64 * 16),
        ("int4-g128-offset", (1, 1), 128 + 256 * 8),
        ("int6-g256", (1, 1), 64 + 64 + 64 * 12),
        ("int6-g256", (1, 512), 64 + 8 * (64 + 64 * 12)),
        ("int6-g256", (1, 513), 2 * 64 + 9 * (64 + 64 * 12)),
        ("int5-g32-offset", (1, 1), 128 + 64 * 10),
        ("int5-g256-offset", (1, 65), 64 + 2 * (64 + 64 * 10)),
        ("int4-g256-offset", (1, 256), 64 + 4 * (64 + 64 * 8)),
        ("int4-g256-offset", (1, 257), 2 * 64 + 5 * (64 + 64 * 8)),
        ("int3-g256", (17, 576), 2 * (2 * 64 + 9 * (64 + 64 * 6))),
        ("int2-g256-offset", (1, 1), 64 + 64 + 64 * 4),
        ("int2-g256-offset", (17, 576), 2 * (3 * 64 + 9 * (64 + 64 * 4))),
        ("code4-g32", (17, 65), 2 * (64 + 2 * (64 + 64 * 8))),
    ],
)
def test_sizes_by_hand(form, shape, size):
    assert nbytes(form, shape) == size


@pytest.mark.parametrize("form, shape", [("vector", (4, 4)), ("bytes", (4, 4)), ("int8", (4,))])
@pytest.mark.parametrize("measure", [nbytes, container])
def test_a_rank_that_a_format_does_not_have_is_refused(form, shape, measure):
    with pytest.raises(ValueError, match=f"format '{form}' cannot have shape"):
        measure(form, shape)


def test_three_dimensions_are_refused():
    with pytest.raises(ValueError, match="cannot have shape"):
        nbytes("int8", (2, 2, 2))


def test_sizes_do_not_overflow():
    assert nbytes("float32", (2**47, 2**47)) == 4 * 2**94


def test_codes_are_counted_from_the_one_that_means_zero():
    form = WeightFormat("int4", 32)
    codes = np.array([[0, 8, 15]], np.uint8)
    tensor = QuantizedTensor(form, codes, np.array([[0.5]], np.float32))
    assert tensor.dequantize().tolist() == [[-4.0, 0.0, 3.5]]


def test_an_offset_replaces_the_zero_point():
    form = WeightFormat("int4", 32, offset=True)
    codes = np.array([[0, 8, 15]], np.uint8)
    scales, offsets = np.array([[[0.5]], [[-1.0]]], np.float32)
    tensor = QuantizedTensor(form, codes, scales, offsets)
    assert tensor.dequantize().tolist() == [[-1.0, 3.0, 6.5]]


def test_each_group_has_its_scale():
    form = WeightFormat("int8", 32)
    codes = np.full((1, 40), 129, np.uint8)
    tensor = QuantizedTensor(form, codes, np.array([[2.0, 3.0]], np.float32))
    assert tensor.dequantize().tolist() == [[2.0] * 32 + [3.0] * 8]


def test_a_multiplier_is_a_factor_of_its_scale():
    form = WeightFormat("int6", 256)
    codes = np.array([[31] * 16 + [0] * 2], np.uint8)
    multipliers = np.array([[5, -128]], np.int8)
    tensor = QuantizedTensor(form, codes, np.array([[0.5]], np.float32), None, multipliers)
    assert tensor.dequantize().tolist() == [[-2.5] * 16 + [2048.0] * 2]


def test_offsets_have_multipliers_of_their_own():
    form = WeightFormat("int4", 256, offset=True)
    codes = np.array([[3] * 32 + [15] * 2], np.uint8)
    scale, offset = np.array([[[0.5]], [[-0.25]]], np.float32)
    factors = np.array([[[5, -128]], [[-3, 2]]], np.int8)
    tensor = QuantizedTensor(form, codes, scale, offset, *factors)
    assert [part.tolist() for part in tensor.steps()] == [[[2.5, -64]], [[0.75, -0.5]]]
    assert tensor.dequantize().tolist() == [[8.25] * 32 + [-960.5] * 2]


def test_multipliers_of_int2_are_those_of_16_columns():
    form = WeightFormat("int2", 256, offset=True)
    codes = np.array([[3] * 16 + [1] * 2], np.uint8)
    scale, offset = np.array([[[0.5]], [[-0.25]]], np.float32)
    factors = np.array([[[15, 0]], [[1, 4]]], np.int8)
    tensor = QuantizedTensor(form, codes, scale, offset, *factors)
    assert tensor.dequantize().tolist() == [[22.25] * 16 + [-1.0] * 2]
    assert [*form.multiplier_values] == [*range(16)]


def test_a_code_of_a_codebook_is_looked_up_in_that_of_its_four_rows():
    form = WeightFormat("code4", 32)
    codebooks = np.zeros((2, 16), np.int8)
    codebooks[:, 3] = -7, 100
    codes, scales = np.full((5, 1), 3, np.uint8), np.full((5, 1), 0.5, np.float32)
    tensor = QuantizedTensor(form, codes, scales, codebooks=codebooks)
    assert tensor.dequantize().ravel().tolist() == [-3.5] * 4 + [50.0]


def test_columns_of_codes_go_back_to_their_places():
    form = WeightFormat("int8", 32)
    codes = np.array([[128 + 1, 128 + 2, 128 + 3]], np.uint8)
    order = np.array([2, 0, 1], np.int32)
    tensor = QuantizedTensor(form, codes, np.ones((1, 1), np.float32), order=order)
    assert tensor.dequantize().tolist() == [[2, 3, 1]]
    assert tensor.each(lambda part: part[:0]).order is order


def test_the_limits_of_a_header_agree_with_each_other():
    assert spec.MAX_HEADER % 64 == 0 and spec.MAX_DIMENSION <= spec.MAX_BYTES
    assert len(max(NAMES, key=len)) <= spec.MAX_FORMAT
    assert 10**spec.MAX_DIGITS < 2**63
