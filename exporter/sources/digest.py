"""SHA-256 of the files a source model consists of."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from edge.errors import SourceError


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, streamed."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error


def sha256_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the list `sha256sum` prints for the files, sorted by name."""
    lines = [f"{sha256(path)}  {path.name}\n" for path in sorted(paths, key=lambda p: p.name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
