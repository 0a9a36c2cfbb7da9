"""Kernels from a shared library that was compiled ahead of time (`edge compile`)."""

import ctypes
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.errors import LibraryError

from ..kernels import catalogue
from ..kernels.target import TARGETS
from . import cache, elf
from .library import Library

FOLDER = Path(__file__).parent / "lib"  # what the wheel carries
SECTION = ".edge.manifest"


@dataclass(frozen=True)
class Manifest:
    """What a library says it is, in a section of its file.

    sources  cache.source_digest() of the kernels it was compiled from
    """

    target: str
    sources: str
    kernels: tuple[str, ...]

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Prebuilt(Library):
    """A library of one target, mapped.  No compiler, no Numba, nothing to link against.

    Raises LibraryError if the file is truncated, stale, made for another machine, or lacks one
    of the catalogue's kernels.
    """

    source = "prebuilt"

    def __init__(self, path: Path, machine: str):
        file = elf.read(path)
        if file.machine != machine:
            raise LibraryError(f"{path}: made for {file.machine}, this machine is {machine}")
        self.path, self.manifest = path, manifest(file, str(path))
        _check(self.manifest, str(path))
        super().__init__(TARGETS[self.manifest.target])
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise LibraryError(f"{path}: cannot be loaded: {error}") from None
        self.load(list(catalogue.NAMES))

    def _load(self, names: list[str]) -> dict[str, int]:
        return {name: self._address(name) for name in names}

    def _address(self, name: str) -> int:
        try:
            function = getattr(self._library, catalogue.symbol(name))
        except AttributeError:
            raise LibraryError(f"{self.path}: kernel {name!r} is missing") from None
        return ctypes.cast(function, ctypes.c_void_p).value or 0


def manifest(file: elf.Elf, where: str) -> Manifest:
    """Raises LibraryError if the library has none that can be read."""
    try:
        document = json.loads(file.sections[SECTION].rstrip(b"\0"))
        target, sources, kernels = (document[key] for key in ("target", "sources", "kernels"))
        return Manifest(str(target), str(sources), tuple(map(str, kernels)))
    except (KeyError, TypeError, ValueError):
        raise LibraryError(f"{where}: no kernel library of edge") from None


def _check(found: Manifest, where: str) -> None:
    if found.target not in TARGETS:
        raise LibraryError(f"{where}: made for {found.target!r}, which this version does not know")
    if found.sources != cache.source_digest():
        raise LibraryError(
            f"{where}: made from kernels {found.sources}, this version has "
            f"{cache.source_digest()}; run edge compile, or install edge again"
        )
    missing = set(catalogue.NAMES) - {*found.kernels}
    if missing:
        raise LibraryError(f"{where}: kernel {min(missing)!r} is missing from its table")
