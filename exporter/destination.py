"""Where an export writes: checked before the work, not after."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from edge.errors import DoesNotFit, SourceError


def check_place(output: Path) -> None:
    if not output.parent.is_dir():
        raise FileNotFoundError(f"cannot write {output}: no folder {output.parent}")
    if output.is_dir():
        raise IsADirectoryError(f"cannot write {output}: it is a folder")


def check_not_source(output: Path, source: Path) -> None:
    """Refuse to replace the source, or a file of a source folder that we did not write."""
    if not output.exists() or not source.exists():
        return
    inside = output.parent.samefile(source) and output.suffix != ".edge"
    if inside or output.samefile(source):
        raise SourceError(f"{output} belongs to the source model; write to another file")


def check_disk(output: Path, needed: int) -> None:
    """`needed` bytes must be free: an old file stays until the new one is complete."""
    free = shutil.disk_usage(output.parent).free
    if needed > free:
        raise DoesNotFit(
            f"{output}: needs at least {needed / 1e6:,.0f} MB of disk, "
            f"{free / 1e6:,.0f} MB are free; free space or write to another disk"
        )


def check_page(page: Path, output: Path, sources: Iterable[Path]) -> None:
    """A page must not replace the model that it is about."""
    check_place(page)
    if page.absolute() == output.absolute() or (page.exists() and page.suffix == ".edge"):
        raise SourceError(f"{page}: a page would replace a model; write it to another file")
    for source in sources:
        check_not_source(page, source)
