"""Arrays of a graph: from .npy files, at random, and into a folder."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError

from .usage import UsageError

if TYPE_CHECKING:
    import numpy as np

    from edge.format.graph import Value


def add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", metavar="NAME=FILE.npy", action="append", default=[], dest="inputs",
        help="an input of a graph; once for each",
    )  # fmt: skip


def given(inputs: Sequence[str]) -> dict[str, np.ndarray]:
    """By name, mapped from their files.  Raises UsageError, EdgeError."""
    arrays: dict[str, np.ndarray] = {}
    for text in inputs:
        name, equals, path = text.rpartition("=")
        if not (equals and name and path):
            raise UsageError(f"--input {text!r:.80}: expected NAME=FILE.npy")
        if name in arrays:
            raise UsageError(f"--input {name!r:.80} is given twice")
        arrays[name] = _read(Path(path))
    return arrays


def _read(path: Path) -> np.ndarray:
    """Mapped, so that a header that lies about its size finds no memory to fill."""
    import numpy as np

    try:
        if path.stat().st_size == 0:
            raise EdgeError(f"{path}: not a .npy file: it is empty")
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise EdgeError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, SyntaxError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise EdgeError(f"{path}: not a .npy file of numbers: {reason:.150}") from None
    if not isinstance(array, np.ndarray):
        raise EdgeError(f"{path}: several arrays, expected one; save it as .npy")
    return array


def drawn(value: Value, sizes: Mapping[str, int]) -> np.ndarray:
    """Random numbers for an input: floats around 0, integers of 0 and 1, texts that are empty.

    `sizes` are of its named dimensions; one that is not among them is 1.
    """
    import numpy as np

    from edge.format.element_types import held_as

    if value.shape is None or "(" in value.dtype:
        raise EdgeError(
            f"input {value.name!r:.80}: {value.dtype} of no known rank; give it (--input)"
        )
    shape = tuple(s if isinstance(s, int) else sizes.get(s or "", 1) for s in value.shape)
    random, dtype = np.random.default_rng(0), held_as(value.dtype)
    if dtype == object:
        return np.full(shape, "", object)
    if dtype.kind in "fc":
        return np.asarray(random.standard_normal(shape)).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def save(folder: Path, results: Mapping[str, Any]) -> dict[str, str]:
    """Write NAME.npy for each array; the files' names by what was saved.  Raises OSError."""
    import numpy as np

    folder.mkdir(exist_ok=True)
    files: dict[str, str] = {}
    for name, array in _flat(results).items():
        file = _file_name(name, set(files.values()))
        array = np.asarray(array)
        if array.dtype == object:
            array = array.astype(str)
        np.save(folder / file, array, allow_pickle=False)
        files[name] = file
    return files


def _flat(results: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of lists by number; an optional that is not there is left out."""
    arrays: dict[str, Any] = {}
    for name, result in results.items():
        if isinstance(result, list | tuple):
            arrays |= {f"{name}.{i}": item for i, item in enumerate(result)}
        elif result is not None:
            arrays[name] = result
    return arrays


def _file_name(name: str, taken: set[str]) -> str:
    """Below the folder and nowhere else, whatever the graph calls its output."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")[:100] or "output"
    file, count = f"{stem}.npy", 1
    while file in taken:
        count += 1
        file = f"{stem}_{count}.npy"
    return file
