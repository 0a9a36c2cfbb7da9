"""Run one kernel of a library from a test: buffers in, chunk by chunk, as the team would."""

import ctypes
from collections.abc import Iterable

import numpy as np

from edge.runtime.kernels.library import Library, cache_folder
from edge.runtime.kernels.target import TARGETS, Target, host, x86_flags

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_LIBRARIES: dict[str, Library] = {}


def runnable_targets() -> list[Target]:
    """Every target whose code this machine can run, the one it would choose first."""
    best = host()
    if best.triple.startswith("x86_64"):
        flags = x86_flags()
        has = {"x86-64-v4-vnni": "avx512_vnni", "x86-64-v3-vnni": "avx_vnni", "x86-64-v3": "avx2"}
        names = [n for n, flag in has.items() if flag in flags] + ["x86-64"]
    elif best.triple.startswith("aarch64"):
        names = ["aarch64", "aarch64-plain"]
    else:
        names = []
    others = [TARGETS[n] for n in names if n != best.name]
    return [best, *others]


def library_for(target: Target) -> Library:
    if target.name not in _LIBRARIES:
        from edge.runtime.kernels.library import library

        if target == host():
            _LIBRARIES[target.name] = library()
        else:
            digest = library()._folder.name.removeprefix(host().name + "-")
            _LIBRARIES[target.name] = Library(target, cache_folder() / f"{target.name}-{digest}")
    return _LIBRARIES[target.name]


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
