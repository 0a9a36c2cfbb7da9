"""How weights become codes once scales are chosen: one method per file.

Shapes are those of edge.exporter.scales; codes are uint8, shaped as the groups.
"""

from typing import Protocol

import numpy as np

from edge.errors import RecipeError
from edge.format.formats import WeightFormat

from .rtn import rtn


class RoundingMethod(Protocol):
    def __call__(
        self,
        groups: np.ndarray,
        scales: np.ndarray,
        offsets: np.ndarray | None,
        form: WeightFormat,
    ) -> np.ndarray: ...


ROUNDING: dict[str, RoundingMethod] = {"rtn": rtn}


def rounding_method(name: str) -> RoundingMethod:
    try:
        return ROUNDING[name]
    except KeyError:
        raise RecipeError(f"no rounding {name!r}; choose from {', '.join(ROUNDING)}") from None
