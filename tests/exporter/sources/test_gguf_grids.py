"""Kept grids mean the numbers of ggml's reference, bit for bit."""

import gguf
import numpy as np
import pytest
from gguf import quants

from edge.exporter.sources.gguf_grids import kept_grid
from edge.format.formats import WeightFormat

KINDS = {t.name: t for t in gguf.GGMLQuantizationType}
FORMATS = {
    "Q2_K": WeightFormat("int2", 256, offset=True),
    "Q3_K": WeightFormat("int3", 256),
    "Q4_K": WeightFormat("int4", 256, offset=True),
    "Q5_0": WeightFormat("int5", 32),
    "Q5_1": WeightFormat("int5", 32, offset=True),
    "Q5_K": WeightFormat("int5", 256, offset=True),
    "IQ4_NL": WeightFormat("code4", 32),
    "Q4_0": WeightFormat("int4", 32),
    "Q4_1": WeightFormat("int4", 32, offset=True),
    "Q6_K": WeightFormat("int6", 256),
    "Q8_0": WeightFormat("int8", 32),
    "TQ1_0": WeightFormat("ternary", 256),
    "TQ2_0": WeightFormat("ternary", 256),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rows, columns", [(1, 512), (37, 512), (600, 1024)])
def test_a_kept_grid_means_the_reference_values(random_blocks, block_matrix, name, rows, columns):
    data = random_blocks(name, rows, columns)

    kept = kept_grid(block_matrix(name, data, columns))

    assert kept is not None and kept.format == FORMATS[name]
    assert kept.dequantize().tobytes() == quants.dequantize(data, KINDS[name]).tobytes()
    for part in (kept.scales, kept.offsets):
        assert part is None or (part == part.astype(np.float16)).all()


@pytest.mark.parametrize("name", FORMATS)
def test_reordered_rows_take_their_scales_along(random_blocks, block_matrix, name):
    data = random_blocks(name, 300, 1024)
    order = np.random.default_rng(1).permutation(300)

    kept = kept_grid(block_matrix(name, data, 1024, order))

    assert kept is not None
    assert (kept.dequantize() == quants.dequantize(data[order], KINDS[name])).all()


@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0"])
def test_ternary_rows_with_one_scale_each_have_no_groups(random_blocks, block_matrix, name):
    data = random_blocks(name, 8, 1024)
    blocks = data.reshape(8, 4, -1)
    blocks[:, :, -2:] = blocks[:, :1, -2:]

    kept = kept_grid(block_matrix(name, data, 1024))

    assert kept is not None and kept.format == WeightFormat("ternary")
    assert kept.scales.shape == (8, 1)
    assert kept.dequantize().tobytes() == quants.dequantize(data, KINDS[name]).tobytes()


def test_i2_s_has_no_groups(i2s_matrix):
    codes = np.random.default_rng(0).integers(0, 3, (5, 256), np.uint8)

    kept = kept_grid(i2s_matrix(codes, 0.7))

    assert kept is not None and kept.format == WeightFormat("ternary")
    assert (kept.codes == codes).all() and (kept.scales == np.float32(0.7)).all()


def test_tq2_0_with_a_fourth_code_is_not_kept(random_blocks, block_matrix):
    data = random_blocks("TQ2_0", 2, 256)
    data[0, 0] |= 3

    assert kept_grid(block_matrix("TQ2_0", data, 256)) is None


def mxfp4(rows: int, columns: int, exponents: slice) -> np.ndarray:
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (rows, columns // 32, 17), np.uint8)
    blocks[:, :, 0] = random.integers(exponents.start, exponents.stop, blocks.shape[:2])
    return blocks.reshape(rows, -1)


def test_mxfp4_is_kept_where_float16_has_its_scales(block_matrix):
    data = mxfp4(37, 256, slice(128 - 24, 128 + 16))
    data[3, :17], data[4, :17] = 0, 0x88  # zeros and minus zeros, whose scale is 2**-127 and 2**8

    kept = kept_grid(block_matrix("MXFP4", data, 256))

    assert kept is not None and kept.format == WeightFormat("code4", 32)
    assert np.array_equal(kept.dequantize(), quants.dequantize(data, KINDS["MXFP4"]))


@pytest.mark.parametrize("exponent", [0, 1, 128 - 25, 128 + 16, 255])
def test_mxfp4_with_other_scales_is_not_kept(block_matrix, exponent):
    data = mxfp4(4, 256, slice(128, 129))
    data[2, 0], data[2, 1] = exponent, 0x11
    with np.errstate(over="ignore"):
        assert kept_grid(block_matrix("MXFP4", data, 256)) is None


@pytest.mark.parametrize("name", ["F16", "IQ4_XS"])
def test_other_types_have_no_grid_of_ours(random_blocks, block_matrix, name):
    assert kept_grid(block_matrix(name, random_blocks(name, 2, 256), 256)) is None
