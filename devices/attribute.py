"""A file of sysfs that is read again and again."""

from __future__ import annotations

import os
import weakref

from .reading import Absent
from .root import Root, number


class Attribute:
    """Opened at the first reading and kept: 0.5 us a reading where opening costs 40.

    After an error it is closed, and opened anew at the next reading.  `owner` is what its folder's
    `name` must say then: a driver that was loaded again may have changed numbers with another.
    """

    def __init__(self, root: Root, path: str, owner: str | None = None):
        self.path, self._owner = path, owner
        self._root = root
        self._descriptor: int | None = None
        self._closing: weakref.finalize[[int], Attribute] | None = None

    def text(self) -> str:
        """Raises Absent."""
        try:
            if self._descriptor is None:
                self._open()
            assert self._descriptor is not None
            content = self._root.read(self._descriptor)
        except OSError as error:
            self.close()
            raise Absent(f"/{self.path}: {error.strerror}") from None
        return content.decode(errors="replace").rstrip("\0\n")

    def number(self) -> float:
        """A whole number in the file's own unit.  Raises Absent."""
        return number(self.text(), self.path)

    def _open(self) -> None:
        folder = self.path.rsplit("/", 1)[0]
        found = self._owner and self._root.text(f"{folder}/name")
        if found != self._owner:
            raise Absent(f"/{folder}: is {found} now, was {self._owner}")
        self._descriptor = self._root.open(self.path)
        self._closing = weakref.finalize(self, os.close, self._descriptor)

    def close(self) -> None:
        if self._closing is not None:
            self._closing()
        self._descriptor = self._closing = None
