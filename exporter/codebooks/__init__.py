"""The levels that 4-bit codes of code4 look up, one method per file, with the scales they need.

groups     float32 [rows, groups, width], a whole matrix
weights    float32 [groups, width]: how much a column's error counts (the diagonal of H), or None
scales     float32 [rows, groups], exact in float16
codebooks  int8 [rows / 4, 16], ascending: w = scale * level
"""

from typing import Protocol

import numpy as np

from edge.errors import RecipeError
from edge.format.formats import WeightFormat

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


CODEBOOKS: dict[str, CodebookMethod] = {
    "nf4": nf4,
    "fp4": fp4,
    "pow2": pow2,
    "kmeans": kmeans,
    "squeezellm": squeezellm,
    "gobo": gobo,
}
NEED_DATA = ("squeezellm",)


def codebook_method(name: str) -> CodebookMethod:
    try:
        return CODEBOOKS[name]
    except KeyError:
        raise RecipeError(f"no codebook {name!r}; choose from {', '.join(CODEBOOKS)}") from None
