"""What is kept beside a quantized matrix as float16, one method per file.

A method of stage "before" says what is kept apart; one of stage "after" fits what is left.

matrix    float32 [rows, columns], or what quantizing left of it
inputs    float32 [columns], the root mean square of what each column meets, or None if nobody
          knows
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from edge.format import spec
from edge.format.addends import LowRank
from edge.format.formats import TILE_ROWS

from ..registry import CODEBOOK, OFFSET, SYMMETRIC, TERNARY, Entry, find
from .gaussian import gaussian
from .lorc import RANK, lorc
from .outliers import MOST, outliers
from .sparse import SHARE, sparse

BEFORE, AFTER = "before", "after"


class Apart(Protocol):
    """Of stage "before": bool, [columns] for whole columns, else [rows, columns]."""

    def __call__(self, matrix: np.ndarray, inputs: np.ndarray | None, /) -> np.ndarray: ...


Fit = Callable[[np.ndarray], LowRank]  # of stage "after"


def _entry(call: Apart | Fit, sentence: str, stage: str = BEFORE) -> Entry:
    suits = (OFFSET, SYMMETRIC, TERNARY, CODEBOOK)
    return Entry("addend", call, sentence, suits=suits, stage=stage)


ADDENDS = {
    "outliers": _entry(
        outliers, "columns with inputs far beyond the others' stay floats (LLM.int8)."
    ),
    "sparse": _entry(sparse, f"the {SHARE:.2%} largest weights stay floats (SqueezeLLM)."),
    "gaussian": _entry(gaussian, "weights far outside of a bell curve stay floats (GOBO)."),
    "lorc": _entry(lorc, f"a pair of rank {RANK} that makes up for the error (LoRC).", AFTER),
}


def at_stage(stage: str, names: tuple[str, ...]) -> Iterator[Entry]:
    return (entry for entry in map(find, names) if entry.stage == stage)


def expected_bytes(names: tuple[str, ...], shape: tuple[int, ...]) -> int:
    """What addends of a matrix take: of outliers the most, of entries the usual share."""
    rows, columns = shape
    size = 0
    if "outliers" in names:
        count = columns // MOST
        size += spec.nbytes("float16", (rows, count)) + spec.nbytes("indices", (count,))
    if "sparse" in names or "gaussian" in names:
        padded = -(-rows // TILE_ROWS) * TILE_ROWS + 1
        entries = max(1, round(SHARE * rows * columns))
        size += spec.nbytes("indices", (padded,)) + spec.nbytes("indices", (entries,))
    if "lorc" in names:
        rank = min(RANK, rows, columns)
        size += spec.nbytes("float16", (rows, rank)) + spec.nbytes("float16", (rank, columns))
    return size
