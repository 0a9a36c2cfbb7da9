"""Where a bound graph's values lie: one arena, shared by values that do not live at the same time.

A value is rows of float32, one for every element of all axes but the last, padded with zeros to 16
elements: vectors of a kernel never reach into the next row, and what they read behind a row is 0.
Whoever writes a row writes its padding.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from ..plan import CACHE_LINE, Arena

LANES = 16


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


@dataclass(eq=False)
class Buffer:
    """Bytes that are needed from step `first` to step `last`; `address` once all are known."""

    nbytes: int
    first: int = 2**62
    last: int = -1
    address: int = 0

    def used(self, step: int) -> None:
        self.first, self.last = min(self.first, step), max(self.last, step)


@dataclass(frozen=True)
class Place:
    """A value in a buffer."""

    buffer: Buffer
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements of a row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    @property
    def width(self) -> int:
        """Elements from one row to the next."""
        return round_up(self.size, LANES)

    @property
    def stride(self) -> int:
        """Bytes from one row to the next."""
        return 4 * self.width

    @property
    def is_dense(self) -> bool:
        return self.width == self.size or self.rows == 1

    @property
    def address(self) -> int:
        return self.buffer.address

    def steps(self) -> tuple[int, ...]:
        """Bytes from one element to the next, by axis."""
        steps, step = [4] * bool(self.shape), self.stride
        for size in reversed(self.shape[1:-1]):
            steps.append(step)
            step *= size
        if len(self.shape) > 1:
            steps.append(step)
        return tuple(reversed(steps))

    def reshaped(self, shape: tuple[int, ...]) -> "Place | None":
        """The same memory with another shape; None if rows would change places."""
        other = Place(self.buffer, shape)
        return other if self.size == other.size or (self.is_dense and other.is_dense) else None


def place(shape: tuple[int, ...]) -> Place:
    """A new place for a value of this shape."""
    size = shape[-1] if shape else 1
    return Place(Buffer(4 * math.prod(shape[:-1]) * round_up(size, LANES)), shape)


@dataclass
class Memory:
    """An arena with buffers laid out in it, and what belongs to no step (tables, copies)."""

    arena: Arena = field(default_factory=Arena)
    begin: int = 0
    end: int = 0

    def lay_out(self, buffers: list[Buffer]) -> None:
        """Give addresses: first fit, in the order in which they are needed."""
        size, offsets = 0, []
        active: list[tuple[int, int, int]] = []  # offset, end, last step
        ordered = sorted((b for b in buffers if b.last >= 0), key=lambda b: (b.first, -b.nbytes))
        for buffer in ordered:
            active = [held for held in active if held[2] >= buffer.first]
            offset, need = 0, round_up(buffer.nbytes, CACHE_LINE) + CACHE_LINE
            for start, end, _ in sorted(active):
                if start - offset >= need:
                    break
                offset = max(offset, end)
            active.append((offset, offset + need, buffer.last))
            offsets.append(offset)
            size = max(size, offset + need)
        self.begin = self.arena.allocate(size)
        self.end = self.begin + size
        for buffer, offset in zip(ordered, offsets, strict=True):
            buffer.address = self.begin + offset

    def holds(self, array: np.ndarray) -> bool:
        """Whether an array lies in memory that later steps write to."""
        if array.flags.owndata:
            return False
        low, high = np.lib.array_utils.byte_bounds(array) if array.size else (0, 0)
        return low < self.end and high > self.begin

    def words(self, values: list[int]) -> int:
        """Address of int64 that stay."""
        table = self.arena.array((max(1, len(values)),), "<i8")
        table[: len(values)] = values
        return int(table.ctypes.data)

    def floats(self, array: np.ndarray) -> int:
        """Address of a copy of float32 rows, padded."""
        rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
        copy = self.arena.array((len(rows), round_up(rows.shape[1], LANES)), "<f4")
        copy[:, : rows.shape[1]] = rows
        return int(copy.ctypes.data)
