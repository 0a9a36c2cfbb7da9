"""A file that was just written, read again: is it what was meant?"""

from pathlib import Path

import numpy as np

from edge.errors import FormatError
from edge.format.dequantized import matrix
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
        source, found = weights.read(info.name), matrix(file, info.name)
        size = float(np.linalg.norm(source))
        moved = float(np.linalg.norm(source - found)) / size if size else 0.0
        if abs(moved - (info.error or 0.0)) > NEAR * moved + 1e-6:
            raise _fault(output, info.name, f"an error of {moved:.3%}, expected {info.error:.3%}")


def _smallest(file: EdgeFile, weights: Weights) -> list[TensorInfo]:
    """Matrices that stand alone: what else belongs to one is in tensors of its name."""
    stems = [name.rpartition(".")[0] for name in file.tensors]
    found: dict[str, TensorInfo] = {}
    for info in file.tensors.values():
        stem = info.name.removesuffix(".weight")
        alone = info.error is not None and info.name in weights and stems.count(stem) == 1
        if alone and info.nbytes < found.get(info.format, info).nbytes + 1:
            found[info.format] = info
    return list(found.values())


def _fault(output: Path, name: str, what: str) -> FormatError:
    return FormatError(
        f"{output}: tensor {name!r} read again has {what}; the disk or the memory is faulty: "
        "export again, elsewhere"
    )
