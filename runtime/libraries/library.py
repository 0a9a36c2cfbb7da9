"""Where a kernel's address comes from: what the ways to have one share."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..kernels.target import Target

Progress = Callable[[int, int], None]  # kernels compiled, of how many; about 1 s each
Function = Callable[[int, int, int], None]
SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def silent(done: int, total: int) -> None:
    pass


class Library:
    """Kernels of one target, by name.  Addresses stay valid for the life of the process.

    source  "prebuilt" (a shared library), "numba" (compiled here) or "numpy" (no machine code)
    """

    source: str
    on_compile: Progress = staticmethod(silent)

    def __init__(self, target: Target):
        self.target = target
        self._addresses: dict[str, int] = {}

    def has(self, name: str) -> bool:
        """Whether this way to have kernels has the one of this name."""
        return True

    def address(self, name: str) -> int:
        """The C function `void kernel(int64 *args, int64 chunk, int64 scratch)` of this name."""
        if name not in self._addresses:
            self.load([name])
        return self._addresses[name]

    def function(self, name: str) -> Function:
        """The same, to be called from Python."""
        return SIGNATURE(self.address(name))

    def load(self, names: list[str]) -> None:
        """Make kernels ready.  Raises EdgeError if one cannot be had."""
        missing = [name for name in dict.fromkeys(names) if name not in self._addresses]
        if missing:
            self._addresses.update(self._load(missing))

    def _load(self, names: list[str]) -> dict[str, int]:
        raise NotImplementedError

    @contextmanager
    def telling(self, progress: Progress | None) -> Iterator[None]:
        """Within this context, `progress` hears how many kernels of a `load` are compiled."""
        before, self.on_compile = self.on_compile, progress or silent
        try:
            yield
        finally:
            self.on_compile = before
