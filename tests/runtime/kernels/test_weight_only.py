"""Products of codes with activations that stay floats, against the dequantized weights."""

import machine
import numpy as np
import pytest

from edge.format import tiles
from edge.format.formats import CODES, QuantizedTensor
from edge.format.spec import weight_format
from edge.runtime.lowering.weights import Matrix
from tests.runtime.kernels.test_matmul import (
    FORMATS,
    SHAPES,
    TILES_PER_CHUNK,
    TOKENS,
    random_tensor,
)

LINE = 64  # elements that rows of activations are padded to


def product(kernels, tensor: QuantizedTensor, x: np.ndarray, bias=None, residual=None, first=0):
    """float32 [tokens - first, rows] by the kernel, all chunks."""
    form, (rows, columns), tokens = tensor.format, tensor.shape, len(x)
    weight = machine.aligned(tiles.pack(tensor), room=8192)
    wide = machine.aligned(np.pad(x.astype(np.float32), ((0, 0), (0, -columns % LINE))))
    height = form.tiles(rows) * 16
    out = machine.aligned(np.full((tokens, height), np.nan, np.float32))
    if residual is not None:
        out[:] = residual
    w = Matrix("", form, rows, columns, machine.address(weight), weight_only=True)
    registers = np.array([first, tokens], np.int64)
    at = machine.address(registers)
    arguments = (
        at, at + 8, form.tiles(rows), TILES_PER_CHUNK,
        w.address, form.tile_bytes(columns), w.steps,
        machine.address(wide), wide.strides[0], *w.scales_layout,
        machine.address(out), out.strides[0],
        machine.address(bias) if bias is not None else 0,
        machine.address(out) if residual is not None else 0,
    )  # fmt: skip
    machine.run(kernels, w.kernel, arguments, -(-form.tiles(rows) // TILES_PER_CHUNK))
    return out[: tokens - first, :rows]


def bound(tensor: QuantizedTensor, x: np.ndarray) -> np.ndarray:
    """Half an ulp for every addition and a product's rounding, of all that has been added, and what
    its weights are off."""
    sums = np.abs(x) @ np.abs(tensor.dequantize()).T.astype(np.float64) * (tensor.shape[1] + 1)
    weights = np.abs(x).sum(axis=1, keepdims=True) * bound_of_weights(tensor)
    return sums * 2.0**-24 + weights + 1e-30


def bound_of_weights(tensor: QuantizedTensor) -> float:
    """Half an ulp of a shift, and two more, at its size, where instructions are not fused."""
    steps, shifts = tensor.steps()
    largest = np.abs(shifts).max() if shifts is not None else 0
    if tensor.format.zero:
        largest = tensor.format.zero * np.abs(steps).max()
    return float(3 * (largest + np.abs(tensor.dequantize()).max()) * 2.0**-24)


@pytest.mark.parametrize("rows, columns", SHAPES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_product_is_that_of_the_dequantized_weights(kernels, name, rows, columns):
    rng = np.random.default_rng([rows, columns])
    tensor = random_tensor(weight_format(name), rows, columns, rng)
    for tokens in TOKENS:
        x = rng.standard_normal((tokens, columns)).astype(np.float32)
        expected = x.astype(np.float64) @ tensor.dequantize().astype(np.float64).T
        error = np.abs(product(kernels, tensor, x) - expected)
        assert (error <= bound(tensor, x)).all(), (tokens, error.max())


@pytest.mark.parametrize("name", FORMATS)
def test_whole_numbers_are_exact(kernels, name):
    """Bit for bit on every library: with scales of 1 all terms and sums are integers below 2**24,
    and no code is taken for another, the lowest and the highest included."""
    rng = np.random.default_rng(1)
    tensor = random_tensor(weight_format(name), 50, 1024, rng)
    tensor.codes[:, :2] = 0, CODES[tensor.format.kind].levels - 1
    tensor.scales[:] = 1
    if tensor.offsets is not None:
        tensor.offsets[:] = -7
    x = rng.integers(-8, 9, (9, 1024))
    expected = x @ tensor.dequantize().T.astype(np.float64)
    assert np.abs(expected).max() < 2**24
    assert (product(kernels, tensor, x) == expected).all()


@pytest.mark.parametrize("name", FORMATS)
def test_one_column_gives_the_weights_themselves(kernels, name):
    """Each weight is that of the definition but for its own rounding, at any place in a row."""
    tensor = random_tensor(weight_format(name), 33, 96, np.random.default_rng(2))
    weights = product(kernels, tensor, np.eye(96))
    assert np.abs(weights - tensor.dequantize().T).max() <= bound_of_weights(tensor)


def test_bias_and_residual_are_added(kernels):
    rng = np.random.default_rng(4)
    tensor = random_tensor(weight_format("int4-g32-offset"), 40, 96, rng)
    x = rng.standard_normal((6, 96))
    plain = product(kernels, tensor, x)
    bias = machine.aligned(rng.standard_normal(48).astype(np.float32))
    residual = rng.standard_normal((6, 48)).astype(np.float32)
    both = product(kernels, tensor, x, bias, residual)
    assert (both == (plain + bias[:40]) + residual[:, :40]).all()


def test_tokens_before_the_first_are_left_out_and_rows_begin_at_zero(kernels):
    rng = np.random.default_rng(5)
    tensor = random_tensor(weight_format("int8-g32"), 33, 64, rng)
    tensor.scales[:] = 1
    x = rng.integers(-8, 9, (7, 64))  # exact, whatever the order of sums
    whole = product(kernels, tensor, x)
    assert (product(kernels, tensor, x, first=6) == whole[6:]).all()


@pytest.mark.parametrize("name", ["int8", "int4-g128-offset", "ternary-dense"])
def test_nothing_is_read_behind_a_row_of_activations(kernels, name):
    """The stored row is wider than the activations: what lies behind these is another token's."""
    rng = np.random.default_rng(6)
    tensor = random_tensor(weight_format(name), 20, 64, rng)
    x = rng.standard_normal((8, 64)).astype(np.float32)
    expected = x[:1].astype(np.float64) @ tensor.dequantize().T
    x[1:] = np.nan
    found = product(kernels, tensor, x)
    assert (np.abs(found[:1] - expected) <= bound(tensor, x[:1])).all()
    assert np.isnan(found[1:]).all()
