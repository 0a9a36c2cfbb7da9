"""How weights become codes once scales are chosen: one method per file.

Shapes are those of edge.exporter.scales; codes are uint8, shaped as the weights.
"""

from functools import partial
from typing import Protocol

import numpy as np

from edge.format.formats import WeightFormat

from ..registry import CODEBOOK, OFFSET, SYMMETRIC, TERNARY, Entry, find
from .gptq import gptq
from .rtn import rtn
from .sign import sign, sign_centred
from .stochastic import stochastic


class RoundingMethod(Protocol):
    """Of an entry that needs no data; one that throws dice is called with `seed=` too."""

    def __call__(
        self,
        groups: np.ndarray,
        scales: np.ndarray,
        offsets: np.ndarray | None,
        form: WeightFormat,
    ) -> np.ndarray: ...


class DataRounding(Protocol):
    """Of an entry that needs data: a whole matrix, float32 [rows, columns].

    One that suits codebooks is called with `codebooks=` too where there are some.
    """

    def __call__(
        self,
        matrix: np.ndarray,
        scales: np.ndarray,
        offsets: np.ndarray | None,
        form: WeightFormat,
        h: np.ndarray,
        **codebooks: np.ndarray,
    ) -> np.ndarray: ...


ROUNDING = {
    "rtn": Entry(
        "rounding", rtn, "rounds to nearest.", suits=(OFFSET, SYMMETRIC, TERNARY, CODEBOOK)
    ),
    "stochastic": Entry(
        "rounding",
        stochastic,
        "rounds up with the probability of the remainder.",
        suits=(OFFSET, SYMMETRIC, TERNARY),
        seeded=True,
    ),
    "sign": Entry("rounding", sign, "to -1 or 1, never 0 (XNOR-Net).", suits=(TERNARY,)),
    "sign_centred": Entry(
        "rounding",
        sign_centred,
        "the same once the matrix's mean is off (BitNet b1).",
        suits=(TERNARY,),
        whole=True,
    ),
    "gptq": Entry(
        "rounding",
        gptq,
        "later columns make up for a column's rounding error; needs --calib.",
        suits=(OFFSET, SYMMETRIC, CODEBOOK),
        needs_data=True,
    ),
}


def rounding_method(name: str, seed: int = 0) -> RoundingMethod:
    """`seed` is for the methods that throw dice."""
    entry = find(name)
    return partial(entry.call, seed=seed) if entry.seeded else entry.call


def data_rounding(name: str) -> DataRounding:
    return find(name).call
