"""Single ops with memory and random numbers to run them on: what the self-test is made of."""

from dataclasses import dataclass

import numpy as np

from .libraries.library import Library
from .plan import Arena, Op, Plan, float_bits
from .team import Team

ROWS, COLUMNS = 40, 320  # neither whole tiles nor whole blocks of every format
TOKENS = 21  # products of 8, 4 and 1 tokens at a time; two blocks of a cache
EPSILON = 1e-5
SCRATCH_BYTES = 2**16


class Bench:
    """Memory, random numbers and a team of two to run single ops with."""

    def __init__(self, kernels: Library):
        self.kernels = kernels
        self.team = Team(kernels, 2, SCRATCH_BYTES)
        self.random = np.random.default_rng(0)
        self.arena = Arena()
        self.registers = self.zeros(8, dtype="<i8")
        self.registers[1] = TOKENS

    def zeros(self, *shape: int, dtype: str = "<f4") -> np.ndarray:
        return self.arena.array(shape, dtype)

    def normal(self, *shape: int) -> np.ndarray:
        array = self.zeros(*shape)
        array[:] = self.random.standard_normal(shape)
        return array

    def place(self, payload: np.ndarray) -> np.ndarray:
        """A copy where kernels can read it."""
        raw = payload.view(np.uint8).ravel()
        array = self.zeros(raw.size, dtype="u1")
        array[:] = raw
        return array

    def register(self, index: int) -> int:
        return address(self.registers) + 8 * index

    def run(self, kernel: str, *arguments: int, chunks: int = 1, tokens: int = 0) -> None:
        self.team.run(Plan([Op(kernel, arguments, chunks, tokens)], self.kernels), TOKENS, 1)

    def rounded(
        self,
        kernel: str,
        x: np.ndarray,
        up: np.ndarray,
        norm: int,
        zero: int,
        bias: int = 0,
        scale: float = 0.0,
    ) -> "Rounded":
        """Run an activation kernel of kernels/activations.py."""
        r = Rounded(
            out=self.zeros(*x.shape),
            codes=self.zeros(TOKENS, 512, dtype="i1"),
            scales=self.zeros(TOKENS, 32),
            starts=self.zeros(TOKENS, 32),
        )
        self.run(
            kernel, self.register(1), address(x), x.strides[0], address(up), up.strides[0],
            address(r.out), r.out.strides[0], COLUMNS, COLUMNS, norm, float_bits(EPSILON),
            address(r.codes), r.codes.strides[0], address(r.scales), address(r.starts),
            r.scales.strides[0], zero, bias, float_bits(scale), tokens=4,
        )  # fmt: skip
        return r


@dataclass(frozen=True)
class Rounded:
    """Activations as int8 codes with scales, and as the floats they were made from."""

    out: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    starts: np.ndarray

    def scale(self, sink: str) -> np.ndarray:
        """float32 [tokens, columns]"""
        if sink in ("group", "group16", "moment"):
            return np.repeat(self.scales, 32, axis=1)[:, :COLUMNS]
        return np.repeat(self.scales[:, :1], COLUMNS, axis=1)

    def values(self, sink: str) -> np.ndarray:
        return self.codes[:, :COLUMNS] * self.scale(sink).astype(np.float64)


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)
