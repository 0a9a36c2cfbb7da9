"""The user's folder of native code: compiled kernels, and which of them passed their self-test."""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

from edge.format import formats

PASSED = b"passed"  # a verdict of the self-test


def folder() -> Path:
    """EDGE_CACHE, or edge/kernels in the user's cache folder; native code: nobody else's."""
    named = os.environ.get("EDGE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge" / "kernels"


@cache
def source_digest() -> str:
    """Changes with every source file that kernels are made of: code of another digest is stale."""
    digest = hashlib.sha256()
    kernels = sorted((Path(__file__).parents[1] / "kernels").rglob("*.py"))
    for path in [*kernels, Path(formats.__file__)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def private_folder() -> Path:
    """`folder`, made if it is not there.  Raises OSError."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder()


def read(path: Path) -> bytes:
    """A file of the cache; empty if the cache lacks it or others may write there."""
    try:
        return path.read_bytes() if is_private(path.parent) else b""
    except OSError:
        return b""


def keep(path: Path, content: bytes) -> None:
    """Write by rename, for this user only; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not is_private(path.parent):
            return
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:
        pass


def is_private(folder: Path) -> bool:
    """Whether nobody else can put code there."""
    try:
        status = folder.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022
