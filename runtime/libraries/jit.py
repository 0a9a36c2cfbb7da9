"""Kernels compiled by Numba on this machine, kept in a cache, loaded without Numba."""

from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from ..kernels import catalogue
from ..kernels.target import Target
from . import cache
from .cpu import cpu_digest
from .library import Library


def available() -> bool:
    """Whether Numba is installed; it is not imported."""
    try:
        metadata.version("numba")
    except metadata.PackageNotFoundError:
        return False
    return True


class Objects:
    """Object files of a target's kernels, in the cache and (if it cannot be written) in memory."""

    def __init__(self, target: Target):
        compiler = metadata.version("llvmlite")
        self._folder = cache.folder() / f"{target.name}-{cache.source_digest()}-{compiler}"
        self._objects: dict[str, bytes] = {}

    def get(self, name: str) -> bytes:
        """Empty if the kernel has not been compiled."""
        return self._objects.get(name) or cache.read(self._folder / f"{name}.o")

    def put(self, name: str, code: bytes) -> None:
        self._objects[name] = code
        cache.keep(self._folder / f"{name}.o", code)

    def verdict(self, name: str) -> Path:
        """Where to remember that this CPU computes right with the kernel."""
        return self._folder / f"{name}.{cpu_digest()}"


class Jit(Library):
    """Compiles what the cache lacks; a warm cache needs llvmlite only.

    `check` sees every kernel before this CPU's first use of it; it raises KernelMismatch if one
    computes something else than it should.
    """

    source = "numba"

    def __init__(
        self, target: Target, check: Callable[[Library, list[str]], None] = lambda *_: None
    ):
        super().__init__(target)
        self._objects = Objects(target)
        self._check = check
        self._engine: Any = None

    def load(self, names: list[str]) -> None:
        unchecked = [name for name in names if name not in self._addresses]
        super().load(names)
        verdicts = {name: self._objects.verdict(name) for name in unchecked}
        new = [name for name, path in verdicts.items() if cache.read(path) != cache.PASSED]
        if new:
            self._check(self, new)
        for name in new:
            cache.keep(verdicts[name], cache.PASSED)

    def _load(self, names: list[str]) -> dict[str, int]:
        import llvmlite.binding as llvm

        self._compile(names)
        engine = self._start_engine()
        for code in map(self._objects.get, names):
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return {name: engine.get_function_address(catalogue.symbol(name)) for name in names}

    def _start_engine(self) -> Any:
        if self._engine is None:
            import llvmlite.binding as llvm

            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
            self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        return self._engine

    def _compile(self, names: list[str]) -> None:
        missing = [name for name in names if not self._objects.get(name)]
        for done, name in enumerate(missing):
            self.on_compile(done, len(missing))
            self._objects.put(name, compile_kernel(name, self.target))
        if missing:
            self.on_compile(len(missing), len(missing))


def compile_kernel(name: str, target: Target) -> bytes:
    """The object file of one kernel of the catalogue."""
    compiler = import_module("..kernels.compiler", __package__)
    code: bytes = compiler.compile_object({catalogue.symbol(name): catalogue.build(name)}, target)
    return code
