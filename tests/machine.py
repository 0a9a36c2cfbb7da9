"""Run one kernel of a library from a test: buffers in, chunk by chunk, as the team would."""

import ctypes
import fcntl
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.runtime.kernels.target import SHIPPED, TARGETS, Target
from edge.runtime.libraries import cache, jit
from edge.runtime.libraries.cpu import machine, runnable
from edge.runtime.libraries.jit import Jit
from edge.runtime.libraries.library import Library
from edge.runtime.libraries.plain import NumpyLibrary
from edge.runtime.libraries.prebuilt import Prebuilt

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_LIBRARIES: dict[str, Library] = {}
NUMBA, PREBUILT, NUMPY = "numba", "prebuilt", "numpy"


def libraries() -> list[tuple[Target, str]]:
    """Every target whose code this machine can run, by every way to get it; and NumPy."""
    sources = [NUMBA] * jit.available() + [PREBUILT]
    targets = [*runnable(), *(TARGETS[n] for n in ("aarch64-plain",) if machine() == "aarch64")]
    compiled = [
        (target, source)
        for target in targets
        for source in sources
        if source == NUMBA or target.name in SHIPPED
    ]
    return [*compiled, (NumpyLibrary().target, NUMPY)]


def shown(library: tuple[Target, str]) -> str:
    """A library as the name of a test has it."""
    return f"{library[0].name}-{library[1]}"


def library_for(target: Target, source: str) -> Library:
    name = shown((target, source))
    if name not in _LIBRARIES:
        _LIBRARIES[name] = _SOURCES[source](target)
    return _LIBRARIES[name]


def _prebuilt(target: Target) -> Prebuilt:
    """From the cache, built first where that can be done."""
    path = cache.private_folder() / "tests" / f"{target.name}.so"
    if jit.available():
        from edge.exporter.aot import library, linker

        try:
            linker.find(machine())
        except EdgeError as error:
            pytest.skip(str(error))
        path.parent.mkdir(exist_ok=True)
        with open(path.with_suffix(".lock"), "w") as lock:  # tests run in several processes
            fcntl.flock(lock, fcntl.LOCK_EX)
            library.build(target, path.parent)
    return Prebuilt(path, machine())


_SOURCES: dict[str, Callable[[Target], Library]] = {
    NUMBA: Jit,
    PREBUILT: _prebuilt,
    NUMPY: lambda target: NumpyLibrary(),
}


def aligned(array: np.ndarray, room: int = 0) -> np.ndarray:
    """A copy on a 64-byte boundary, with `room` zeroed bytes behind it."""
    raw = np.zeros(array.nbytes + 64 + room, np.uint8)
    start = -raw.ctypes.data % 64
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def run(
    library: Library, name: str, arguments: Iterable[int], chunks: int, scratch: int = 0
) -> None:
    """Call the kernel for every chunk, in order."""
    row = np.array([*arguments, *[0] * 32], np.int64)
    kernel = _KERNEL(library.address(name))
    for chunk in range(chunks):
        kernel(row.ctypes.data, chunk, scratch)


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)
