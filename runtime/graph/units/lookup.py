"""Rows of a matrix by number, as an op (kernels/embedding.py)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from edge.errors import InputError

from ...kernels.layout import EMBEDDING_TOKENS
from ...lowering.weights import Matrix
from ...plan import Op, float_bits
from ..storage import Buffer, Place
from .unit import Context, Unit


@dataclass(eq=False)
class Lookup(Unit):
    """out[i] = W[ids[i]]; the ids are an array of integers, which `take` copies."""

    ids: str
    matrix: Matrix
    out: Place
    numbers: np.ndarray = field(init=False)

    def reads(self) -> Iterator[Place]:
        return iter(())

    def buffers(self) -> Iterator[Buffer]:
        yield self.out.buffer

    def take(self, ids: np.ndarray) -> None:
        """Raises InputError for a number beyond the matrix: kernels trust them."""
        rows = self.matrix.rows
        if ids.size and not -rows <= ids.min() <= ids.max() < rows:
            low, high = int(ids.min()), int(ids.max())
            wrong = high if high >= rows else low
            raise InputError(f"{self.ids!r}: number {wrong}, expected {-rows}..{rows - 1}")
        self.numbers[:] = np.where(ids < 0, ids + rows, ids).ravel()

    def ops(self, context: Context) -> list[Op]:
        w, form, memory = self.matrix, self.matrix.form, context.memory
        self.numbers = memory.arena.array((max(1, self.out.rows),), "<i8")
        arguments = (
            memory.words([self.out.rows]), int(self.numbers.ctypes.data),
            w.address, form.tile_bytes(w.columns), form.block_bytes(w.columns),
            form.block_columns(w.columns), w.columns,
            self.out.address, self.out.stride, float_bits(1.0),
        )  # fmt: skip
        return [Op(f"embedding-{form}", arguments, -(-self.out.rows // EMBEDDING_TOKENS))]
