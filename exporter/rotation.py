"""Orthogonal maps of channels that spread what a few of them carry over all."""

from dataclasses import dataclass

import numpy as np

LARGEST = 64  # of a power of two's factors: three of them reach a width of 2**18


@dataclass(frozen=True)
class Rotation:
    """x -> x Q with Q = diag(signs) (F1 x F2 x ...), a Kronecker product of orthogonal factors.

    signs    float32 [size], 1 and -1
    factors  float32 [n, n] each, whose n multiply to the size
    """

    signs: np.ndarray
    factors: tuple[np.ndarray, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x Q over the last axis, or over each run of `size` of it; x is float32 or float64."""
        turned = x.reshape(-1, len(self.signs)) * self.signs.astype(x.dtype)
        turned = turned.reshape(-1, *map(len, self.factors))
        for axis, factor in enumerate(self.factors, 1):
            product = np.tensordot(turned, factor.astype(x.dtype), (axis, 0))
            turned = np.moveaxis(product, -1, axis)
        back: np.ndarray = turned.reshape(x.shape)
        return back


def randomized_hadamard(size: int, seed: int) -> Rotation:
    """Hadamard's matrix with random signs (QuIP's incoherence, QuaRot's R1; arXiv:2404.00456).

    Hadamard matrices are known for powers of two; of another size, the odd factor gets Hartley's
    matrix, whose elements are the next most even: no magnitude beyond sqrt(2 / n).
    """
    signs = np.random.default_rng([seed, size]).choice(np.array([-1, 1], np.float32), size)
    odd = size
    while odd % 2 == 0:
        odd //= 2
    factors = [] if odd == 1 else [hartley(odd)]
    power = size // odd
    while power > 1:
        factors.append(hadamard(n := min(power, LARGEST)))
        power //= n
    return Rotation(signs, tuple(f.astype(np.float32) for f in factors or [np.eye(1)]))


def hadamard(n: int) -> np.ndarray:
    """Sylvester's, float64 [n, n], n a power of two: all elements are +-1 / sqrt(n)."""
    matrix: np.ndarray = np.eye(1)
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    matrix /= np.sqrt(n)
    return matrix


def hartley(n: int) -> np.ndarray:
    """(cos + sin)(2 pi j k / n) / sqrt(n), float64 [n, n]: symmetric, its own inverse."""
    turns = 2 * np.pi / n * (np.outer(np.arange(n), np.arange(n)) % n)
    matrix: np.ndarray = (np.cos(turns) + np.sin(turns)) / np.sqrt(n)
    return matrix
