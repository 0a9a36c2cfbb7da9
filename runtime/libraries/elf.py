"""ELF64 shared libraries, as far as it takes to know one before it is mapped as code.

The dynamic linker trusts what it maps: a truncated library kills the process with SIGBUS.
Field names follow the System V ABI (gABI, chapters 4 and 5).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from edge.errors import LibraryError

MACHINES = {62: "x86_64", 183: "aarch64"}
LOAD, DYNAMIC, THREAD_LOCAL = 1, 2, 7  # p_type
EXECUTE, WRITE = 1, 2  # p_flags
SHARED = 3  # e_type ET_DYN
MOST = 2**28  # bytes of a library, far beyond any of ours
_HEADER, _PROGRAM, _SECTION = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ"


@dataclass(frozen=True)
class Segment:
    """A program header; sizes and offsets in bytes."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int


@dataclass(frozen=True)
class Elf:
    """A complete shared library: segments and sections lie within the file."""

    machine: str
    segments: tuple[Segment, ...]
    sections: dict[str, bytes]


def read(path: Path) -> Elf:
    """Raises LibraryError if the file is no complete shared library of a machine we know."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST)
    except OSError as error:
        raise LibraryError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return _parse(data)
    except (struct.error, ValueError) as error:
        raise LibraryError(f"{path}: {error}; install edge again") from None


def _parse(data: bytes) -> Elf:
    """Raises ValueError."""
    ident, kind, machine, _, _, phoff, shoff, _, _, _, phnum, _, shnum, names = _unpack(
        _HEADER, data, 0
    )
    if ident[:6] != b"\x7fELF\x02\x01" or kind != SHARED:
        raise ValueError("not a 64-bit shared library")
    if machine not in MACHINES:
        raise ValueError(
            f"made for ELF machine {machine}, expected {' or '.join(MACHINES.values())}"
        )
    rows = [_unpack(_PROGRAM, data, phoff + 56 * i) for i in range(phnum)]
    segments = tuple(Segment(t, f, o, v, fs, ms, a) for t, f, o, v, _, fs, ms, a in rows)
    for segment in segments:
        _slice(data, segment.offset, segment.file_size)
    headers = [_unpack(_SECTION, data, shoff + 64 * i) for i in range(shnum)]
    if names >= shnum:
        raise ValueError(f"section {names} holds the names, expected one below {shnum}")
    strings = _slice(data, headers[names][4], headers[names][5])
    sections = {}
    for name, kind, _, _, offset, size, *_ in headers:
        if kind != 8:  # SHT_NOBITS has no bytes in the file
            sections[_string(strings, name)] = _slice(data, offset, size)
    return Elf(MACHINES[machine], segments, sections)


def _unpack(layout: str, data: bytes, offset: int) -> tuple:  # type: ignore[type-arg]
    return struct.unpack(layout, _slice(data, offset, struct.calcsize(layout)))


def _slice(data: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(data):
        raise ValueError(f"truncated: {len(data)} bytes, expected at least {offset + size}")
    return data[offset : offset + size]


def _string(strings: bytes, offset: int) -> str:
    return strings[offset : strings.find(b"\0", offset)].decode("ascii", "replace")
