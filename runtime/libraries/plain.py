"""The library of NumPy kernels: slow, and there wherever NumPy is."""

import ctypes
from collections.abc import Callable

import numpy as np

from edge.format.spec import weight_format

from ..kernels import catalogue
from ..kernels.layout import ARGUMENTS, OP_WORDS
from ..kernels.target import Target
from ..numpy_kernels import (
    activations,
    addends,
    attention,
    bidirectional,
    embedding,
    matmul,
    read,
    rope,
)
from ..numpy_kernels.memory import Kernel, view
from ..numpy_kernels.walk import walk
from .cpu import machine
from .library import SIGNATURE, Function, Library

_BY_FORMAT = {"matmul": matmul.kernel, "embedding": embedding.kernel}
_FACTORIES: dict[str, Callable[..., Kernel]] = {
    "activations": activations.kernel,
    "rope": rope.kernel,
    "attention": attention.kernel,
    "weight_only": matmul.weight_only,
}
_FUNCTIONS: dict[str, Kernel] = {
    "norm-add": activations.norm_add,
    "take-out": addends.take_out,
    "take-columns": addends.take_columns,
    "sparse-add": addends.sparse_add,
    "softcap": activations.softcap,
    "positions": embedding.add_positions,
    "bidirectional": bidirectional.attention,
    "read": read.read,
}


class NumpyLibrary(Library):
    """Kernels whose C functions lead back into Python.

    Whoever has an address may call it as C; a team's step finds the Python function behind the
    address and gives it all chunks of an op at once.
    """

    source = "numpy"

    def __init__(self) -> None:
        super().__init__(Target("numpy", "plain", "", machine()))
        self._kernels: dict[int, Kernel] = {}
        self._entries: dict[str, Function] = {"step": self._step, "work": _work}
        self._callbacks: list[object] = []  # C functions live as long as these objects

    def has(self, name: str) -> bool:
        return name not in catalogue.OF_GRAPHS

    def function(self, name: str) -> Function:
        """Without C in between, which would swallow an interrupt and every other exception."""
        return self._entries.get(name) or super().function(name)

    def _load(self, names: list[str]) -> dict[str, int]:
        return {name: self._address(name) for name in names}

    def _address(self, name: str) -> int:
        if name in self._entries:
            return self._callback(self._entries[name])
        kernel = make(name)
        address = self._callback(_one_chunk(kernel))
        self._kernels[address] = kernel
        return address

    def _callback(self, function: Function) -> int:
        callback = SIGNATURE(function)
        self._callbacks.append(callback)
        return ctypes.cast(callback, ctypes.c_void_p).value or 0

    def _step(self, state: int, generation: int, thread: int) -> None:
        walk(self._kernels, state)


def make(name: str) -> Kernel:
    """The kernel of this name in the catalogue."""
    kind, _, form = name.partition("-")
    if kind in _BY_FORMAT:
        return _BY_FORMAT[kind](weight_format(form))
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    module, _, *arguments = catalogue.KERNELS[name]
    return _FACTORIES[module](*arguments)


def _one_chunk(kernel: Kernel) -> Function:
    def run(args: int, chunk: int, scratch: int) -> None:
        with np.errstate(all="ignore"):
            words = view(args, (OP_WORDS - ARGUMENTS,), "<i8").tolist()
            kernel(words, range(chunk, chunk + 1))

    return run


def _work(state: int, generation: int, thread: int) -> None:
    """A helper has nothing to do: Python runs one thread at a time."""
