"""Read an .edge file: one read-only mapping, validated once, never copied.

A mapped file must not shrink: reading a page that is gone ends the process (SIGBUS).  `edge
export` replaces a file by rename, which leaves the mapping whole; `check_size` is for what other
programs do, like `cp` over a model that is in use.
"""

import hashlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edge.errors import FormatError

from . import spec
from .formats import ALIGNMENT
from .header import Header


class EdgeFile:
    """A mapped model.  Construction validates the header; it reads no tensor.

    Raises FormatError (what, where, expected, found), OSError if the file cannot be opened.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        with open(self.path, "rb", opener=_open_at_once) as file:
            self.size = os.fstat(file.fileno()).st_size
            header = Header(str(path), _read_header(file, str(path), self.size), self.size)
            self.tensors = header.tensors
            self.document = header.document
            self.config = header.config
            try:
                self._map = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ)
            except ValueError:  # it has become shorter since
                raise self._shrunk(os.fstat(file.fileno()).st_size) from None
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._base: int = self._bytes.ctypes.data

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def info(self, name: str) -> spec.TensorInfo:
        """Raises FormatError if the file lacks the tensor."""
        try:
            return self.tensors[name]
        except KeyError:
            raise FormatError(f"{self.path}: the model needs tensor {name!r}; not found") from None

    def address(self, name: str) -> int:
        """Where the tensor's bytes are in memory, 64-byte aligned; valid while self lives."""
        return self._base + self.info(name).offset

    def check_size(self) -> None:
        """Raises FormatError if the file was cut while it is in use; costs a system call."""
        size = self._map.size()
        if size < self.size:
            raise self._shrunk(size)

    def view(self, name: str) -> np.ndarray:
        """uint8 [nbytes], read-only, in place."""
        info = self.info(name)
        self.check_size()
        return self._bytes[info.offset : info.offset + info.nbytes]

    def read_bytes(self, name: str) -> bytes:
        """The content of a tensor of bytes, without padding."""
        info = self.info(name)
        if info.format != "bytes":
            raise FormatError(f"{self.path}: tensor {name!r} is {info.format}, expected bytes")
        return self.view(name)[: info.shape[0]].tobytes()

    def read_indices(self, name: str) -> np.ndarray:
        """int32 [n], a copy: nobody who writes to the file changes what was checked."""
        info = self.info(name)
        if info.format != "indices":
            raise FormatError(f"{self.path}: tensor {name!r} is {info.format}, expected indices")
        return self.view(name).view("<i4")[: info.shape[0]].copy()

    def verify(self, progress: Callable[[int], None] = lambda done: None) -> list[str]:
        """Names of tensors whose bytes do not match their checksum; `progress` gets bytes done."""
        broken, done = [], 0
        for info in self.tensors.values():
            digest, view = hashlib.sha256(), self.view(info.name)
            for start in range(0, info.nbytes, 2**24):
                self.check_size()
                digest.update(view[start : start + 2**24].data)
                progress(done + min(start + 2**24, info.nbytes))
            done += info.nbytes
            if digest.hexdigest() != info.sha256:
                broken.append(info.name)
        return broken

    def _shrunk(self, size: int) -> FormatError:
        return FormatError(
            f"{self.path}: {size} bytes, expected {self.size} as when it was opened; "
            "another program writes to it"
        )


def _open_at_once(path: str, flags: int) -> int:
    """A pipe is opened, and found to be no file, without waiting for whoever writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_header(file: BinaryIO, where: str, size: int) -> bytes:
    prefix = file.read(8) if size >= 8 else b""
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or size < 8 + length or not 2 <= length <= spec.MAX_HEADER:
        raise FormatError(
            f"{where}: not an .edge file: {size} bytes, header said to be {length}, expected "
            f"2..{spec.MAX_HEADER} and not beyond the file; it is something else or was cut off"
        )
    if (8 + length) % ALIGNMENT:
        raise FormatError(
            f"{where}: data starts at byte {8 + length}, expected a multiple of {ALIGNMENT}; "
            "a plain safetensors file is a source for `edge export`"
        )
    header = file.read(length)
    if len(header) < length:
        raise FormatError(f"{where}: header of {len(header)} bytes, expected {length}")
    return header
