"""The system's files below a folder: `/` on a device, a made-up tree in a test."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .reading import Absent

LONGEST = 4096  # sysfs gives a page at most


class Root:
    """Paths are written without the leading slash: `sys/class/thermal`.

    EDGE_SYSROOT stands for `/` where it is set.
    """

    def __init__(self, folder: Path | str | None = None):
        self.folder = Path(folder or os.environ.get("EDGE_SYSROOT") or "/")

    def open(self, path: str) -> int:
        """A file descriptor for reading.  Raises OSError."""
        return os.open(self.folder / path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def read(self, descriptor: int) -> bytes:
        """The file from its beginning: sysfs measures anew.  Raises OSError."""
        return os.pread(descriptor, LONGEST, 0)

    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> None:
        """The buffer goes to the driver and comes back.  Raises OSError."""
        import fcntl  # not on Windows, which has no mailbox either

        fcntl.ioctl(descriptor, request, buffer, True)

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, hwmon2 before hwmon10.  Raises Absent."""
        try:
            return sorted(os.listdir(self.folder / folder), key=_by_number)
        except OSError as error:
            raise Absent(f"/{folder}: {error.strerror}") from None

    def folders(self, folder: str, prefix: str) -> list[str]:
        """Paths of a folder's entries that begin with `prefix`; none where it cannot be listed."""
        try:
            return [f"{folder}/{name}" for name in self.names(folder) if name.startswith(prefix)]
        except Absent:
            return []

    def text(self, path: str) -> str:
        """A file's text once, without its line end or trailing NUL.  Raises Absent."""
        try:
            descriptor = self.open(path)
        except OSError as error:
            raise Absent(f"/{path}: {error.strerror}") from None
        try:
            return self.read(descriptor).decode(errors="replace").rstrip("\0\n")
        except OSError as error:
            raise Absent(f"/{path}: {error.strerror}") from None
        finally:
            os.close(descriptor)

    def text_or(self, path: str, otherwise: str = "") -> str:
        try:
            return self.text(path)
        except Absent:
            return otherwise

    def number_or_none(self, path: str) -> float | None:
        try:
            return number(self.text(path), path)
        except Absent:
            return None


def number(text: str, path: str) -> float:
    """A file's number.  Raises Absent if it holds something else."""
    try:
        return float(int(text))
    except (ValueError, OverflowError):
        found = text.strip()
        what = f"{found!r:.40}" if found else "nothing"
        raise Absent(f"/{path}: holds {what}, expected a whole number") from None


def _by_number(name: str) -> tuple[str, int]:
    match = re.search(r"(\d+)$", name)
    return (name[: match.start()], int(match[1])) if match else (name, -1)
