"""Sums of int8 products on the codes of a next layer: in float32, as edge has it, and in integers."""

import numpy as np

from edge.format.spec import weight_format
from edge.runtime.host_ops.quantization import quantize_linear
from tests.runtime.kernels.test_matmul import Activations, product, random_tensor

ROWS, TOKENS, COLUMNS = 1000, 1000, 128  # a million sums


def dyadic(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """M = M0 / 2**n with M0 of 31 bits (Jacob et al. 2017, arXiv:1712.05877, 2.2)."""
    mantissas, exponents = np.frexp(factors)
    return np.rint(mantissas * 2.0**31).astype(np.int64), 31 - exponents.astype(np.int64)


def in_integers(sums: np.ndarray, factors: np.ndarray, zero: int) -> np.ndarray:
    """uint8 codes; no float after the factors, halves go up."""
    m0, n = dyadic(factors)
    scaled = (sums * m0 + (np.int64(1) << (n - 1))) >> n
    return np.clip(scaled + zero, 0, 255).astype(np.uint8)


def test_rescaling_in_float32_is_within_a_code_of_rescaling_in_integers(kernels):
    """And seldom differs at all: only next to a half."""
    rng = np.random.default_rng(0)
    tensor = random_tensor(weight_format("int8"), ROWS, COLUMNS, rng)
    x = rng.integers(-127, 128, (TOKENS, COLUMNS)).astype(np.float64)
    x[:, 0] = 127  # so that every activation scale is 1, and the input its codes
    sums = x.astype(np.int64) @ (tensor.codes.astype(np.int64) - 128).T
    step, zero = np.float32(2.0 * sums.std() * tensor.scales.mean() / 64), 93
    y = product(kernels, tensor, Activations(x, tensor.format))
    ours = quantize_linear(y, step, np.uint8(zero))
    theirs = in_integers(sums, tensor.scales[:, 0].astype(np.float64) / step, zero)
    apart = np.abs(ours.astype(int) - theirs)
    assert apart.size == 1_000_000 and apart.max() <= 1 and np.mean(apart) < 1e-4
    assert len(np.unique(theirs)) == 256  # all codes, clipped ones too
