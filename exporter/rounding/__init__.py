"""How weights become codes once scales are chosen: one method per file.

Shapes are those of edge.exporter.scales; codes are uint8, shaped as the groups.
"""

from functools import partial
from typing import Protocol

import numpy as np

from edge.errors import RecipeError
from edge.format.formats import WeightFormat

from .rtn import rtn
from .stochastic import stochastic


class RoundingMethod(Protocol):
    def __call__(
        self,
        groups: np.ndarray,
        scales: np.ndarray,
        offsets: np.ndarray | None,
        form: WeightFormat,
    ) -> np.ndarray: ...


ROUNDING: dict[str, RoundingMethod] = {"rtn": rtn, "stochastic": stochastic}


def rounding_method(name: str, seed: int = 0) -> RoundingMethod:
    """`seed` is for the methods that throw dice."""
    if name == "stochastic":
        return partial(stochastic, seed=seed)
    try:
        return ROUNDING[name]
    except KeyError:
        raise RecipeError(f"no rounding {name!r}; choose from {', '.join(ROUNDING)}") from None
