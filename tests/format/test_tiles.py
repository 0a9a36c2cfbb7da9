"""Tiles: what is packed comes back, byte for byte where tiles.py says."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.format.formats import CODES, FLOATS, QuantizedTensor, WeightFormat
from edge.format.spec import weight_format
from edge.format.tiles import pack, pack_floats, unpack, unpack_floats
from tests.format.small_file import floats, quantized

GROUPED = [
    WeightFormat(kind, group, offset)
    for kind, codes in CODES.items()
    for offset, groups in ((False, codes.groups), (True, codes.shifted))
    for group in groups
]
shapes = st.tuples(st.integers(1, 40), st.integers(1, 600))


@pytest.mark.parametrize("form", GROUPED, ids=str)
@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32))
def test_a_quantized_matrix_comes_back(form, shape, seed):
    tensor = quantized(form, *shape, seed)
    tiles = pack(tensor)
    assert tiles.dtype == np.uint8
    assert tiles.shape == (form.tiles(shape[0]), form.tile_bytes(shape[1]))
    found = unpack(tiles, form, *shape)
    assert found.format == form and found.shape == shape
    assert np.array_equal(found.codes, tensor.codes)
    assert np.array_equal(found.scales, tensor.scales)
    assert (found.offsets is None) == (not form.offset)
    if form.offset:
        assert np.array_equal(found.offsets, tensor.offsets)
    assert (found.codebooks is None) == (not form.has_codebook)
    if form.has_codebook:
        assert np.array_equal(found.codebooks, tensor.codebooks)
    assert (found.multipliers is None) == (not form.multiplier_columns)
    if form.multiplier_columns:
        assert np.array_equal(found.multipliers, tensor.multipliers)
    assert (found.offset_multipliers is None) == (not form.multiplier_columns or not form.offset)
    if found.offset_multipliers is not None:
        assert np.array_equal(found.offset_multipliers, tensor.offset_multipliers)


@pytest.mark.parametrize("kind", ["float16", "float32"])
@settings(max_examples=25, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**32))
def test_a_float_matrix_comes_back(kind, shape, seed):
    form, matrix = WeightFormat(kind), floats(*shape, seed)
    tiles = pack_floats(matrix, kind)
    assert tiles.shape == (form.tiles(shape[0]), form.tile_bytes(shape[1]))
    assert np.array_equal(unpack_floats(tiles, kind, *shape), matrix)


@pytest.mark.parametrize("rows, columns", [(1, 1), (17, 33), (16, 300), (3, 130)])
@pytest.mark.parametrize("form", GROUPED, ids=str)
def test_padding_is_the_code_that_means_zero_with_scales_and_offsets_of_zero(form, rows, columns):
    tiles = pack(quantized(form, rows, columns))
    whole = unpack(tiles, form, 16 * form.tiles(rows), form.padded_columns(columns))
    padding = np.ones(whole.shape, bool)
    padding[:rows, :columns] = False
    assert (whole.codes[padding] == CODES[form.kind].zero).all()
    groups = -(-columns // form.group) if form.group else 1
    for factors in (whole.multipliers, whole.offset_multipliers):
        if factors is not None:
            assert not factors[rows:].any() and not factors[:, form.runs(columns) :].any()
    for values in (whole.scales, whole.offsets):
        if values is not None:
            assert not values[rows:].any() and not values[:, groups:].any()
    if not form.offset and not form.has_codebook:
        assert not whole.dequantize()[padding].any()


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_padding_of_floats_is_zero(kind):
    tiles = pack_floats(floats(17, 3) + 1, kind)
    assert not unpack_floats(tiles, kind, 32, 3)[17:].any()
    used = 16 * 3 * FLOATS[kind].itemsize
    assert not tiles[:, used:].any()


# --- layouts by hand ------------------------------------------------------------------------------


def tensor(form: str, codes, scales, offsets=None, *multipliers, codebooks=None) -> QuantizedTensor:
    def table(values):
        return np.array(values, np.float32)

    codes = np.array(codes, np.uint8)
    shift = None if offsets is None else table(offsets)
    factors = [np.array(values, np.int8) for values in multipliers]
    parts = table(scales), shift, *factors
    return QuantizedTensor(weight_format(form), codes, *parts, codebooks=codebooks)


def halves(*values: float) -> bytes:
    """16 float16, zeros behind the values."""
    return struct.pack("<16e", *values, *[0.0] * (16 - len(values)))


def singles(*values: float) -> bytes:
    return struct.pack("<16f", *values, *[0.0] * (16 - len(values)))


def test_int8_by_hand():
    """64 bytes hold 16 rows x 4 columns; a row of 64 columns takes 16 of them."""
    codes = [[1, 2, 3, 4, 5], [250, 251, 252, 253, 254]]
    expected = (
        singles(0.5, 2.0)
        + bytes([1, 2, 3, 4, 250, 251, 252, 253]).ljust(64, b"\x80")
        + bytes([5, 128, 128, 128, 254]).ljust(64, b"\x80")
        + b"\x80" * 14 * 64
    )
    assert pack(tensor("int8", codes, [[0.5], [2.0]])).tobytes() == expected


def test_int8_with_groups_by_hand():
    """A block: float16 scales of two groups, then the codes of both."""
    codes = np.full((1, 33), 7)
    expected = (
        halves(0.5)
        + halves(4.0)
        + (b"\x07" * 4).ljust(64, b"\x80") * 8
        + b"\x07".ljust(64, b"\x80")
        + b"\x80" * 7 * 64
    )
    assert pack(tensor("int8-g32", codes, [[0.5, 4.0]])).tobytes() == expected


INT4_CODES = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [15, 14, 13, 12, 11, 10, 9, 8, 7]]
INT4_BYTES = (
    bytes([0x51, 0x62, 0x73, 0x84, 0xBF, 0xAE, 0x9D, 0x8C]).ljust(64, b"\x88")
    + bytes([0x89, 0x88, 0x88, 0x88, 0x87]).ljust(64, b"\x88")
    + b"\x88" * 6 * 64
)


def test_int4_by_hand():
    """Low nibbles are columns 0-3, high nibbles 4-7."""
    expected = halves(0.5, 2.0) + halves() + INT4_BYTES
    assert pack(tensor("int4-g32", INT4_CODES, [[0.5], [2.0]])).tobytes() == expected


def test_int4_with_offsets_by_hand():
    """A line of scales, a line of offsets, the codes."""
    found = pack(tensor("int4-g32-offset", INT4_CODES, [[0.5], [2.0]], [[-1.0], [-3.5]]))
    expected = halves(0.5, 2.0) + halves() + halves(-1.0, -3.5) + halves() + INT4_BYTES
    assert found.tobytes() == expected


def test_code4_by_hand():
    """A codebook for every four rows, then a tile of int4 whose padding is code 0."""
    books = np.stack([np.arange(-8, 8), np.arange(-100, -84)]).astype(np.int8)
    stored = tensor("code4-g32", [[15, 2]] * 5, [[0.5]] * 5, codebooks=books)
    expected = (
        books.tobytes().ljust(64, b"\x00")
        + halves(*[0.5] * 5)
        + halves()
        + (bytes([15, 2, 0, 0]) * 5).ljust(64, b"\x00")
        + bytes(7 * 64)
    )
    assert pack(stored).tobytes() == expected
    assert stored.dequantize()[[0, 4]].tolist() == [[3.5, -3.0], [-42.5, -49.0]]


def test_int6_by_hand():
    """Scales of two groups; a piece's multipliers and codes: low nibbles, high bits."""
    codes = [[0x31, 0x02, 0x13, 0x24, 0x35] + [0] * 11 + [0x3F], [63] * 17]
    zero = b"\x00" * 128 + b"\xaa" * 64  # code 32 = 0b10_0000 in 16 columns of 16 rows
    first = bytes([0x51, 0x02, 0x03, 0x04, 255, 255, 255, 255]).ljust(64, b"\x00")
    second = bytes([0, 0, 0, 0, 255, 255, 255, 255]).ljust(64, b"\x00")
    high = bytes([0b1111, 0, 1, 2, 255, 255, 255, 255]).ljust(64, b"\xaa")
    third = bytes([0x0F, 0, 0, 0, 0x0F]).ljust(128, b"\x00")
    last = bytes([0b10_10_10_11, *[0xAA] * 3, 0b10_10_10_11]).ljust(64, b"\xaa")
    expected = (
        halves(0.5, 2.0)
        + halves()
        + bytes([7, 255]).ljust(16, b"\x00")  # multipliers of columns 0-15
        + bytes([128, 1]).ljust(16, b"\x00")
        + b"\x00" * 2 * 16
        + (first + second + high)
        + (third + last)
        + zero * 2
    )
    found = pack(tensor("int6-g256", codes, [[0.5], [2.0]], None, [[7, -128], [-1, 1]]))
    assert found.tobytes() == expected


def test_two_levels_with_offsets_by_hand():
    """Scales and offsets of a group; then multipliers of scales, of offsets, and 64 columns."""
    codes = np.repeat([[1, 2], [3, 4]], 256, axis=1)[:, :320]
    found = pack(
        tensor(
            "int4-g256-offset",
            codes,
            [[0.5, 2.0], [4.0, 8.0]],
            [[-1.0, -2.0], [-4.0, -8.0]],
            [range(10), range(10, 20)],
            [range(-10, 0), range(-20, -10)],
        )
    ).tobytes()
    group = found[: 64 + 4 * 576]
    assert group[:64] == halves(0.5, 4.0) + halves(-1.0, -4.0)
    for piece in range(4):
        at = 64 + 576 * piece
        own = bytes([2 * piece, 2 * piece + 10]), bytes([2 * piece + 1, 2 * piece + 11])
        shift = bytes([246 + 2 * piece, 236 + 2 * piece]), bytes([247 + 2 * piece, 237 + 2 * piece])
        assert group[at : at + 64] == b"".join(line.ljust(16, b"\0") for line in own + shift)
        assert group[at + 64 : at + 576] == (b"\x11" * 4 + b"\x33" * 4).ljust(64, b"\x88") * 8
    rest = found[len(group) :]  # the last group is one piece long
    assert rest[:64] == halves(2.0, 8.0) + halves(-2.0, -8.0)
    assert rest[64:96] == bytes([8, 18]).ljust(16, b"\0") + bytes([9, 19]).ljust(16, b"\0")
    assert rest[96:128] == bytes([254, 244]).ljust(16, b"\0") + bytes([255, 245]).ljust(16, b"\0")
    assert rest[128:] == (b"\x22" * 4 + b"\x44" * 4).ljust(64, b"\x88") * 8


def test_int5_by_hand():
    """Four vectors of nibbles for 32 columns, then bit i of byte c for column 4i + c."""
    codes = np.full((1, 33), 16)
    codes[0, [0, 1, 5, 30]] = 0b01010, 0b11111, 0b00011, 0b10111
    zero = b"\x00" * 256 + b"\xff" * 64  # code 16
    low = bytes([0x0A, 0x3F]).ljust(192, b"\x00") + bytes([0, 0, 0x70]).ljust(64, b"\x00")
    high = bytes([0b1111_1110, 0b1111_1101]).ljust(64, b"\xff")
    expected = halves(0.5) + halves(4.0) + low + high + zero
    assert pack(tensor("int5-g32", codes, [[0.5, 4.0]])).tobytes() == expected


def test_int3_by_hand():
    """Two vectors of bit pairs for 32 columns, then bit i of byte c for column 4i + c."""
    codes = np.full((1, 32), 4)
    codes[0, [0, 4, 17, 31]] = 0b111, 0b010, 0b011, 0b101
    low = bytes([0b1011]).ljust(64, b"\x00") + bytes([0, 0b11, 0, 0b0100_0000]).ljust(64, b"\x00")
    high = bytes([0b1111_1101, 0b1110_1111]).ljust(64, b"\xff")
    multipliers = bytes([3]).ljust(16, b"\x00") + bytes([253]).ljust(16, b"\x00") + bytes(32)
    zero = b"\x00" * 128 + b"\xff" * 64  # code 4
    expected = halves(0.5) + halves() + multipliers + low + high + zero
    assert pack(tensor("int3-g256", codes, [[0.5]], None, [[3, -3]])).tobytes() == expected


def test_int2_by_hand():
    """Bytes of a scale's multiplier and an offset's, of 16 columns each; then bit pairs of 64."""
    codes = np.zeros((2, 320), np.uint8)
    codes[0, [0, 4, 17, 63]], codes[1, 319] = [3, 2, 1, 3], 2
    scales, shifts = np.zeros((2, 2, 20), np.int8)
    scales[0, :5], shifts[0, :5] = [15, 1, 2, 3, 4], [0, 15, 5, 6, 7]
    scales[1, 19], shifts[1, 19] = 9, 10
    found = pack(
        tensor(
            "int2-g256-offset",
            codes,
            [[0.5, 2.0], [4.0, 8.0]],
            [[-1.0, -2.0], [-4.0, -8.0]],
            scales,
            shifts,
        )
    ).tobytes()
    first = b"".join(bytes([byte]).ljust(16, b"\0") for byte in (0x0F, 0xF1, 0x52, 0x63))
    low = bytes([0b1011]).ljust(64, b"\0") + bytes([0, 1]).ljust(64, b"\0")
    last = bytes(64) + bytes([0, 0, 0, 0b11_00_00_00]).ljust(64, b"\0")
    assert found[: 64 + 320] == halves(0.5, 4.0) + halves(-1.0, -4.0) + first + low + last
    assert found[64 + 320 : 64 + 640] == bytes([0x74]).ljust(320, b"\0")
    assert found[64 + 640 : 64 + 4 * 320] == bytes(640)
    rest = found[64 + 4 * 320 :]  # the last group is one piece long
    assert rest[:64] == halves(2.0, 8.0) + halves(-2.0, -8.0)
    assert rest[64:128] == bytes(48) + bytes([0, 0xA9]).ljust(16, b"\0")
    assert rest[128:] == bytes(192) + bytes([0] * 7 + [0b10_00_00_00]).ljust(64, b"\0")


def test_ternary_by_hand():
    """Bits 2i and 2i + 1 of byte c are column 4i + c; code 1 means zero."""
    codes = [[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 2]]
    # byte 0: columns 0, 4, 8, 12 = 0, 1, 2, 0 = 0b00_10_01_00, and so on
    row = bytes([0b00_10_01_00, 0b01_00_10_01, 0b10_01_00_10, 0b00_10_01_00])
    expected = (
        singles(0.25)
        + row.ljust(64, b"\x55")
        + bytes([0b01_01_01_10]).ljust(64, b"\x55")
        + b"\x55" * 2 * 64
    )
    assert pack(tensor("ternary", codes, [[0.25]])).tobytes() == expected


def test_dense_ternary_by_hand():
    """Three columns 4 apart: nibble 5 * first + m, and h, with 2 * m + h = 3 * second + third."""
    codes = np.ones((1, 24), np.uint8)
    codes[0, [0, 4, 8]] = 2, 1, 0  # 3 = 2 * 1 + 1: nibble 11, high bit 1
    codes[0, [1, 5, 9]] = 0, 0, 1  # 1 = 2 * 0 + 1: nibble 0, high bit 1
    codes[0, [12, 16, 20]] = 2, 2, 2  # 8 = 2 * 4 + 0: nibble 14
    zero = 0x77  # 1, 1, 1: 4 = 2 * 2 + 0, nibble 7
    expected = (
        singles(0.25)
        + bytes([0xEB, 0x70]).ljust(64, bytes([zero]))
        + bytes([zero]) * 3 * 64
        + bytes([1, 1]).ljust(64, b"\x00")
    )
    assert pack(tensor("ternary-dense", codes, [[0.25]])).tobytes() == expected


def test_float16_by_hand():
    """A column of 16 rows after the other, padded to 64 bytes."""
    matrix = np.array([[1.0, -2.0, 0.5], [4.0, 8.0, 0.25]], np.float32)
    expected = halves(1.0, 4.0) + halves(-2.0, 8.0) + halves(0.5, 0.25) + bytes(32)
    assert pack_floats(matrix, "float16").tobytes() == expected


def test_float32_by_hand():
    matrix = np.array([[1.0, -2.0]] * 17, np.float32)
    expected = singles(*[1.0] * 16) + singles(*[-2.0] * 16) + singles(1.0) + singles(-2.0)
    assert pack_floats(matrix, "float32").tobytes() == expected


def test_dense_ternary_holds_any_three_digits_in_any_place():
    digits = np.array([[value // 9, value // 3 % 3, value % 3] for value in range(27)], np.uint8)
    place = np.stack([np.roll(digits, i, axis=0) for i in range(8)], axis=1)  # value, i, digit
    rows = np.repeat(place.reshape(27, 24), 4, axis=1)
    stored = tensor("ternary-dense", rows, np.ones((27, 1)))
    assert np.array_equal(unpack(pack(stored), stored.format, 27, 96).codes, rows)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_bytes_behind_the_scales_of_int2_are_a_matrix(seed):
    form = WeightFormat("int2", 256, offset=True)
    tile = np.random.default_rng(seed).integers(0, 256, (1, form.tile_bytes(256)), np.uint8)
    tile[:, :64] = np.ones(32, "<f2").view(np.uint8)
    found = unpack(tile, form, 16, 256)
    for part, values in ((found.multipliers, 16), (found.offset_multipliers, 16), (found.codes, 4)):
        assert part is not None and part.min() >= 0 and part.max() < values
    assert np.array_equal(pack(found), tile)


def test_bytes_that_no_writer_makes_are_still_digits():
    form = WeightFormat("ternary-dense")
    tile = np.tile(np.arange(256, dtype=np.uint8), 2)[None, : form.tile_bytes(96)]
    assert unpack(tile, form, 16, 96).codes.max() <= 2
