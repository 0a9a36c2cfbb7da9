"""Kernel addresses: compiled by Numba on this machine, kept in a cache, loaded without Numba."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from . import catalogue
from .target import Target, host

Progress = Callable[[int, int], None]  # kernels compiled, of how many; about 1 s each


def _silent(done: int, total: int) -> None:
    pass


class Library:
    """Machine code for one target.  Addresses stay valid for the life of the process.

    A warm cache needs llvmlite only; Numba is imported when a kernel has to be compiled.
    """

    def __init__(self, target: Target, folder: Path):
        self.target = target
        self._on_compile: Progress = _silent
        self._folder = folder
        self._addresses: dict[str, int] = {}
        self._engine: Any = None

    def address(self, name: str) -> int:
        if name not in self._addresses:
            self.load([name])
        return self._addresses[name]

    @contextmanager
    def telling(self, progress: Progress | None) -> Iterator[None]:
        """Within this context, `progress` hears how many kernels of a `load` are compiled."""
        before, self._on_compile = self._on_compile, progress or _silent
        try:
            yield
        finally:
            self._on_compile = before

    def load(self, names: list[str]) -> None:
        """Make kernels ready, compiling those the cache lacks."""
        missing = [name for name in dict.fromkeys(names) if name not in self._addresses]
        if not missing:
            return
        import llvmlite.binding as llvm

        objects = self._objects(missing)
        engine = self._start_engine()
        for code in objects:
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        for name in missing:
            self._addresses[name] = engine.get_function_address(catalogue.symbol(name))

    def _start_engine(self) -> Any:
        if self._engine is None:
            import llvmlite.binding as llvm

            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
            self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        return self._engine

    def _objects(self, names: list[str]) -> list[bytes]:
        """Object files of kernels, from the cache where it has them."""
        objects = {name: self._cached(name) for name in names}
        uncached = [name for name, code in objects.items() if not code]
        for done, name in enumerate(uncached):
            self._on_compile(done, len(uncached))
            objects[name] = compile_kernel(name, self.target)
            _keep(self._path(name), objects[name])
        if uncached:
            self._on_compile(len(uncached), len(uncached))
        return list(objects.values())

    def _cached(self, name: str) -> bytes:
        """Empty if the cache lacks the kernel."""
        try:
            return self._path(name).read_bytes()
        except OSError:
            return b""

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.o"


def compile_kernel(name: str, target: Target) -> bytes:
    """The object file of one kernel of the catalogue."""
    compiler = import_module(".compiler", __package__)
    code: bytes = compiler.compile_object({catalogue.symbol(name): catalogue.build(name)}, target)
    return code


@cache
def library() -> Library:
    """This machine's kernels."""
    target = host()
    return Library(target, cache_folder() / f"{target.name}-{_digest()}")


def cache_folder() -> Path:
    """EDGE_CACHE, or edge/kernels in the user's cache folder; native code: nobody else's."""
    named = os.environ.get("EDGE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge" / "kernels"


def _digest() -> str:
    """Changes with the kernels' source and with the compiler."""
    digest = hashlib.sha256(metadata.version("llvmlite").encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _keep(path: Path, code: bytes) -> None:
    """Write by rename, readable by this user only; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
        os.replace(file.name, path)
    except OSError:
        pass
