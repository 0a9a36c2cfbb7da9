"""The levels that 4-bit codes of code4 look up, one method per file, with the scales they need.

groups     float32 [rows, groups, width], a whole matrix
weights    float32 [groups, width]: how much a column's error counts (the diagonal of H), or None
scales     float32 [rows, groups], exact in float16
codebooks  int8 [rows / 4, 16], ascending: w = scale * level
"""

from typing import Protocol

import numpy as np

from edge.format.formats import WeightFormat

from ..registry import CODEBOOK, Entry, find
from .fp4 import fp4
from .gobo import gobo
from .kmeans import kmeans
from .nf4 import nf4
from .pow2 import pow2
from .squeezellm import squeezellm


class CodebookMethod(Protocol):
    def __call__(
        self, groups: np.ndarray, form: WeightFormat, weights: np.ndarray | None, /
    ) -> tuple[np.ndarray, np.ndarray]: ...


def _entry(call: CodebookMethod, sentence: str, needs_data: bool = False) -> Entry:
    return Entry("codebook", call, sentence, suits=(CODEBOOK,), needs_data=needs_data)


CODEBOOKS = {
    "kmeans": _entry(kmeans, "16 centroids for every four rows: code4's own way."),
    "squeezellm": _entry(
        squeezellm, "the same, where errors count by the input's energy; needs --calib.", True
    ),
    "gobo": _entry(gobo, "8 centroids for a whole matrix: 3 bits, with `gaussian`."),
    "nf4": _entry(nf4, "quantiles of a bell curve (QLoRA)."),
    "fp4": _entry(fp4, "4-bit floats, E2M1."),
    "pow2": _entry(pow2, "0 and powers of two (INQ)."),
}


def codebook_method(name: str) -> CodebookMethod:
    return find(name).call
