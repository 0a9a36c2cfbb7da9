"""A file that was just written, read again: is it what was meant?"""

import math
from pathlib import Path

import numpy as np

from edge.errors import FormatError
from edge.format.dequantized import row_blocks
from edge.format.reader import EdgeFile
from edge.format.spec import TensorInfo

from .weights import Weights

NEAR = 1e-3  # relative: errors are sums in another order


def verify(output: Path, weights: Weights) -> None:
    """Every checksum; and of each format the smallest matrix: its error, from what the file means.

    Raises FormatError, naming the tensor.  The file stays, to be looked at.
    """
    file = EdgeFile(output)
    broken = file.verify()
    if broken:
        raise _fault(output, broken[0], "other bytes than were written")
    for info in _smallest(file, weights):
        moved = _error(file, info.name, weights.read(info.name))
        if abs(moved - (info.error or 0.0)) > NEAR * moved + 1e-6:
            raise _fault(output, info.name, f"an error of {moved:.3%}, expected {info.error:.3%}")


def _error(file: EdgeFile, name: str, source: np.ndarray) -> float:
    """||W - Q(W)|| / ||W||, Frobenius norms."""
    moved = total = 0.0
    for at, stored in row_blocks(file, name):
        moved += float(np.square(source[at] - stored, dtype=np.float64).sum())
        total += float(np.square(source[at], dtype=np.float64).sum())
    return math.sqrt(moved / total) if total else 0.0


def _smallest(file: EdgeFile, weights: Weights) -> list[TensorInfo]:
    found: dict[str, TensorInfo] = {}
    for info in file.tensors.values():
        if info.error is not None and info.name in weights:
            other = found.setdefault(info.format, info)
            if info.nbytes < other.nbytes:
                found[info.format] = info
    return list(found.values())


def _fault(output: Path, name: str, what: str) -> FormatError:
    return FormatError(
        f"{output}: tensor {name!r} read again has {what}; the disk or the memory is faulty: "
        "export again, elsewhere"
    )
