"""Numbers that lie in files beside a model: mapped, and nowhere but in its folder.

A location is a path below the model's folder.  A link may lead out of it, and so may another name
of the same file (a hard link): neither is followed, whatever a model says.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import numpy as np
from onnx import TensorProto

from edge.errors import SourceError


@dataclass(frozen=True)
class External:
    """Where a tensor's bytes are; `length` is None if the model does not say it."""

    location: str
    offset: int
    length: int | None

    def read(self, folder: Path, nbytes: int, where: str) -> np.ndarray:
        """uint8 [nbytes], mapped.  Raises SourceError for anything but a plain file in `folder`."""
        where = f"{where}: external data {self.location!r:.80}"
        if self.length is not None and self.length != nbytes:
            raise SourceError(f"{where}: said to be {self.length} bytes, expected {nbytes}")
        path = _inside(folder, self.location, where)
        with _opened(path, where) as file:
            size = os.fstat(file.fileno()).st_size
            if self.offset + nbytes > size:
                end = f"{nbytes} bytes from {self.offset} on"
                raise SourceError(f"{where}: {size} bytes, expected {end}; it was cut off")
            if not nbytes:
                return np.empty(0, np.uint8)
            return np.memmap(file, np.uint8, "r", self.offset, (nbytes,))


def stored_outside(tensor: TensorProto, where: str) -> External:
    """What a tensor says of where it is.  Raises SourceError."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    numbers = {}
    for key in ("offset", "length"):
        text = said.get(key, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise SourceError(f"{where}: {key} {text!r:.40} of external data, expected a number")
        numbers[key] = int(text) if text else None
    return External(said.get("location", ""), numbers["offset"] or 0, numbers["length"])


def _inside(folder: Path, location: str, where: str) -> Path:
    """The path of a plain file below the folder, on which no link lies."""
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    is_below = parts and ".." not in (*parts, *windows.parts) and "\0" not in location
    if not is_below or location.startswith("/") or windows.drive or windows.root:
        raise SourceError(f"{where}: expected the path of a file below the model's folder")
    path = folder
    for part in parts:
        path = path / part
        found = _lstat(path, where)
        if stat.S_ISLNK(found.st_mode):
            raise SourceError(f"{where}: {part!r:.80} is a link; copy the file itself there")
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{where}: not a plain file")
    if found.st_nlink > 1:
        raise SourceError(
            f"{where}: a file that has {found.st_nlink} names (hard links); copy it there"
        )
    return path


def _lstat(path: Path, where: str) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise SourceError(f"{where}: cannot be read: {error.strerror}") from None


def _opened(path: Path, where: str) -> BinaryIO:
    try:
        return open(path, "rb", opener=_without_following)
    except OSError as error:
        raise SourceError(f"{where}: cannot be read: {error.strerror}") from None


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
