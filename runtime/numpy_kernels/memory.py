"""NumPy arrays over memory that is given by address, as kernels' arguments give it."""

from collections.abc import Callable

import numpy as np

Kernel = Callable[[list[int], range], None]  # (arguments, chunks): several chunks at once


class _Memory:
    """What NumPy asks for to make an array of somebody else's memory."""

    def __init__(
        self, address: int, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]
    ):
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": shape,
            "typestr": dtype.str,
            "strides": strides,
        }


def view(
    address: int, shape: tuple[int, ...], kind: str, outer: tuple[int, ...] = ()
) -> np.ndarray:
    """A writable array at an address; strides in bytes of the `outer` axes, the rest is dense."""
    dtype = np.dtype(kind)
    strides, step = [], dtype.itemsize
    for size in reversed(shape[len(outer) :]):
        strides.append(step)
        step *= size
    return np.asarray(_Memory(address, shape, dtype, (*outer, *reversed(strides))))


def floats(address: int, rows: int, columns: int, stride: int) -> np.ndarray:
    """float32 [rows, columns], rows `stride` bytes apart."""
    return view(address, (rows, columns), "<f4", (stride,))


def integer(address: int) -> int:
    return int(view(address, (1,), "<i8")[0])


def bits_float(bits: int) -> np.float32:
    """The float32 that travelled among integer arguments (plan.float_bits)."""
    return np.int64(bits).astype(np.int32).view(np.float32)


def tokens_of(chunks: range, size: int, end: int) -> tuple[int, int]:
    """(first token, how many) of chunks of `size` tokens, `end` tokens in all."""
    first = chunks.start * size
    return first, max(min(chunks.stop * size, end) - first, 0)
