"""A target's kernel library: every kernel of the catalogue, and a manifest that says which."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from edge.errors import EdgeError
from edge.runtime.kernels import catalogue
from edge.runtime.kernels.target import TARGETS, Target
from edge.runtime.libraries import cache, elf
from edge.runtime.libraries.jit import Objects, compile_kernel
from edge.runtime.libraries.library import Progress, silent
from edge.runtime.libraries.prebuilt import SECTION, Manifest

from . import linker


def build(target: Target, folder: Path, progress: Progress = silent) -> Path:
    """Write `folder/TARGET.so`; objects are cached, so a second build only links.

    Raises EdgeError if there is no linker, or if a kernel needs what a freestanding library has
    not (a C library, thread-local storage, another page size).
    """
    machine = target.triple.partition("-")[0]
    linker.find(machine)  # before minutes of compiling
    names = list(catalogue.NAMES)
    objects = _objects(target, names, progress)
    manifest = Manifest(target.name, cache.source_digest(), tuple(names))
    folder.mkdir(parents=True, exist_ok=True)
    with _replacing(folder / f"{target.name}.so") as output:
        with tempfile.TemporaryDirectory() as scratch:
            objects["manifest"] = _manifest_object(manifest, target)
            paths = [_written(Path(scratch, f"{n}.o"), code) for n, code in objects.items()]
            linker.link(machine, paths, output)
        _check(output)
    return folder / f"{target.name}.so"


def _objects(target: Target, names: list[str], progress: Progress) -> dict[str, bytes]:
    """Object files by kernel, compiled by as many processes as there are cores."""
    objects = Objects(target)
    missing = [name for name in names if not objects.get(name)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        compiled = pool.map(_compile, missing, [target.name] * len(missing))
        for done, (name, code) in enumerate(zip(missing, compiled, strict=True)):
            progress(done, len(missing))
            objects.put(name, code)
    return {name: objects.get(name) for name in names}


def _compile(name: str, target: str) -> bytes:
    return compile_kernel(name, TARGETS[target])


def _manifest_object(manifest: Manifest, target: Target) -> bytes:
    """An object whose only content is the manifest's section."""
    from llvmlite import binding, ir

    content = bytearray(manifest.to_bytes())
    module = ir.Module("manifest")
    module.triple = target.triple
    kind = ir.ArrayType(ir.IntType(8), len(content))
    value = ir.GlobalVariable(module, kind, "edge_manifest")
    value.global_constant, value.section = True, SECTION
    value.initializer = ir.Constant(kind, content)
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(target.triple).create_target_machine(reloc="pic")
    code: bytes = machine.emit_object(binding.parse_assembly(str(module)))
    return code


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to instead; it takes `path`'s place if all goes well."""
    part = path.with_suffix(".part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _check(path: Path) -> None:
    """Whether every dynamic linker will take it, Android's included."""
    file = elf.read(path)
    for segment in file.segments:
        if segment.kind == elf.THREAD_LOCAL:
            raise EdgeError(f"{path}: a kernel uses thread-local storage")
        if segment.kind == elf.LOAD and segment.alignment < linker.PAGE:
            raise EdgeError(
                f"{path}: segments on {segment.alignment} bytes, expected {linker.PAGE}"
            )
        if segment.flags & elf.WRITE and segment.flags & elf.EXECUTE:
            raise EdgeError(f"{path}: a segment is both writable and code")
