"""A model as a program: ops in order, each a kernel's address and its arguments."""

import struct
from dataclasses import dataclass, field

import numpy as np

from edge.errors import DoesNotFit

from .kernels.layout import ARGUMENTS, BARRIER, NEXT, NEXT_END, OP_WORDS
from .libraries.library import Library

CACHE_LINE = 64
FETCH_BYTES = 256 * 1024  # of the next product's weights, by a thread that waits


def float_bits(value: float) -> int:
    """A float32 as it travels among integer arguments."""
    return int(struct.unpack("<i", struct.pack("<f", value))[0])


@dataclass(frozen=True)
class Op:
    """One step of a plan.

    chunks            pieces that threads claim, `chunks` for every block of tokens
    tokens_per_chunk  size of such a block; 0 = the number of chunks does not depend on tokens
    counts_outputs    blocks of output rows (logits) instead of tokens
    barrier           whether the next op needs this one (and those since the last barrier) done
    weights           address and size of the weights that the op reads, or (0, 0)
    """

    kernel: str
    arguments: tuple[int, ...]
    chunks: int = 1
    tokens_per_chunk: int = 0
    counts_outputs: bool = False
    barrier: bool = True
    weights: tuple[int, int] = (0, 0)


class Arena:
    """Zeroed memory that kernels work in; freed with the arena, never before.

    Zeros matter: vectors are padded, and kernels read the padding.
    """

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self.nbytes = 0

    def allocate(self, nbytes: int) -> int:
        """Address of `nbytes` zeroed bytes on a 64-byte boundary."""
        try:
            block = np.zeros(nbytes + 2 * CACHE_LINE, np.uint8)
        except (MemoryError, ValueError) as error:
            raise DoesNotFit(
                f"{nbytes / 2**20:.0f} MiB of working memory cannot be had; choose a smaller context"
            ) from error
        self._blocks.append(block)
        self.nbytes += nbytes
        return int(-(-block.ctypes.data // CACHE_LINE) * CACHE_LINE)

    def array(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Zeroed array on a 64-byte boundary; its address is `.ctypes.data`."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start = self.allocate(nbytes) - self._blocks[-1].ctypes.data
        return self._blocks[-1][start : start + nbytes].view(dtype).reshape(shape)


@dataclass
class Plan:
    """Ops ready to be walked: a table of int64 and the cells that threads claim chunks from."""

    ops: list[Op]
    library: Library
    table: np.ndarray = field(init=False)
    _arena: Arena = field(init=False, default_factory=Arena)

    def __post_init__(self) -> None:
        self.library.load([op.kernel for op in self.ops])
        self.table = self._arena.array((len(self.ops), OP_WORDS), "<i8")
        cells = self._arena.allocate(2 * len(self.ops) * CACHE_LINE)
        done = cells
        for i, (row, op) in enumerate(zip(self.table, self.ops, strict=True)):
            claim = cells + 2 * i * CACHE_LINE
            if i == 0 or self.ops[i - 1].barrier:  # ops without a barrier between share a count
                done = claim + CACHE_LINE
            row[: BARRIER + 1] = (
                self.library.address(op.kernel), claim, done,
                op.chunks, op.tokens_per_chunk, op.counts_outputs, op.barrier,
            )  # fmt: skip
            row[ARGUMENTS : ARGUMENTS + len(op.arguments)] = op.arguments
        self._set_next_weights()
        assert not self.ops or self.ops[-1].barrier, "the last op ends a step"

    def _set_next_weights(self) -> None:
        """Begin and end of what threads that wait for an op may fetch ahead."""
        address = nbytes = 0
        for row, op in zip(self.table[::-1], reversed(self.ops), strict=True):
            row[NEXT : NEXT_END + 1] = address, address + min(nbytes, FETCH_BYTES)
            if op.weights[1]:
                address, nbytes = op.weights

    @property
    def address(self) -> int:
        return int(self.table.ctypes.data)
