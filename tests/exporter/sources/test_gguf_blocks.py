"""Blocks come out as ggml's reference has them."""

import tracemalloc

import gguf
import numpy as np
import pytest
from gguf import quants

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.sources.gguf_blocks import block_type

KINDS = {t.name: t for t in gguf.GGMLQuantizationType}
PLAIN = ("F16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "TQ1_0", "TQ2_0")
SUPER = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")


@pytest.mark.parametrize("name", PLAIN + SUPER)
@pytest.mark.parametrize("rows, columns", [(1, 256), (37, 512), (600, 1024)])
def test_values_are_those_of_the_reference_bit_for_bit(
    random_blocks, block_matrix, name, rows, columns
):
    data = random_blocks(name, rows, columns)

    values = block_matrix(name, data, columns).values()

    assert values.dtype == np.float32
    assert values.tobytes() == quants.dequantize(data, KINDS[name]).tobytes()


@pytest.mark.parametrize("dtype, name", [(np.float32, "F32"), (np.float16, "F16")])
def test_floats_are_the_numbers_they_are(block_matrix, dtype, name):
    numbers = np.random.default_rng(0).normal(size=(5, 7)).astype(dtype)

    assert (block_matrix(name, numbers.view(np.uint8), 7).values() == numbers).all()


def test_bfloat16_is_the_upper_half_of_a_float32(block_matrix):
    numbers = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    upper = (numbers.view(np.uint32) >> 16).astype(np.uint16)

    values = block_matrix("BF16", upper.view(np.uint8), 8).values()

    assert (values.view(np.uint32) == upper.astype(np.uint32) << 16).all()


@pytest.mark.parametrize("name", ["Q4_1", "Q6_K", "TQ1_0", "F16"])
def test_reordered_rows_keep_their_values(random_blocks, block_matrix, name):
    data = random_blocks(name, 300, 1024)
    order = np.random.default_rng(1).permutation(300)

    reordered = block_matrix(name, data, 1024, order).values()

    assert (reordered == block_matrix(name, data, 1024).values()[order]).all()


def test_i2_s_has_one_scale_behind_its_codes(i2s_matrix):
    codes = np.random.default_rng(0).integers(0, 3, (5, 256), np.uint8)

    values = i2s_matrix(codes, 0.7).values()

    assert (values == (codes.astype(np.float32) - 1) * np.float32(0.7)).all()


def test_i2_s_with_a_fourth_code_is_refused(i2s_matrix):
    with pytest.raises(SourceError, match="code 3"):
        i2s_matrix(np.full((1, 128), 3, np.uint8), 1.0).values()


@pytest.mark.parametrize("kind, name", [(9, "Q8_1"), (26, "I32"), (31, "number 31")])
def test_a_type_that_edge_cannot_read_is_named(kind, name):
    with pytest.raises(UnsupportedModel, match=f"tensor type {name}"):
        block_type(kind, "file: tensor 'x'")


def test_reading_a_tensor_stays_below_three_times_its_size(random_blocks, block_matrix):
    rows, columns = 2048, 1024
    blocks = block_matrix("Q6_K", random_blocks("Q6_K", rows, columns), columns)
    tracemalloc.start()

    blocks.values()

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * rows * columns * 4
