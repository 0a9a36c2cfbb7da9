"""Files of a source model: maps, JSON and SHA-256, with errors that name the file."""

import hashlib
import json
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.errors import SourceError

MAX_JSON_BYTES = 16 << 20
CHUNK_BYTES = 1 << 20


def mapped(path: Path) -> mmap.mmap:
    """The whole file, read-only."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:  # what mmap says of a file without bytes
        raise SourceError(f"{path}: the file is empty") from None
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path, most: int = MAX_JSON_BYTES) -> str:
    try:
        if path.stat().st_size > most:
            raise SourceError(f"{path}: expected at most {most} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not UTF-8") from None


def read_json_object(path: Path) -> dict[str, Any]:
    return json_object(read_text(path), str(path))


def json_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object in which no name appears twice."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: not valid JSON: {error!s:.100}") from None
    if not isinstance(value, dict):
        raise SourceError(f"{where}: not a JSON object")
    return value


def sha256(path: Path) -> str:
    """Hexadecimal, streamed."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def sha256_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 of what `sha256sum` prints for the files, sorted by name."""
    lines = [f"{sha256(path)}  {path.name}\n" for path in sorted(paths, key=lambda p: p.name)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"{path}: cannot be read: {error.strerror}")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice in an object")
    return result
