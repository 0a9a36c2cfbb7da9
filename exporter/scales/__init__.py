"""How the scale (and offset) of each group of weights is chosen: one method per file.

groups   float32 [rows, groups, columns of a group]
scales   float32 [rows, groups], exact in the type the format stores (stored.py)
offsets  likewise, or None for a format without offsets
"""

from typing import Protocol

import numpy as np

from edge.errors import RecipeError
from edge.format.formats import WeightFormat

from .absmax import absmax
from .absmean import absmean
from .aciq import aciq
from .hqq import hqq
from .kl import kl
from .least_squares import least_squares
from .minmax import minmax
from .mse import mse
from .percentile import percentile
from .signed_absmax import signed_absmax
from .twn import twn


class ScaleMethod(Protocol):
    def __call__(
        self, groups: np.ndarray, form: WeightFormat
    ) -> tuple[np.ndarray, np.ndarray | None]: ...


SCALES: dict[str, ScaleMethod] = {
    "absmax": absmax,
    "absmean": absmean,
    "least_squares": least_squares,
    "minmax": minmax,
    "signed_absmax": signed_absmax,
    "percentile": percentile,
    "mse": mse,
    "aciq": aciq,
    "kl": kl,
    "hqq": hqq,
    "twn": twn,
}


def scale_method(name: str) -> ScaleMethod:
    try:
        return SCALES[name]
    except KeyError:
        raise RecipeError(f"no scales {name!r}; choose from {', '.join(SCALES)}") from None
