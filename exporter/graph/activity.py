"""What the matrices of a graph read while the float model runs over samples."""

from dataclasses import dataclass, field

import numpy as np

from edge.format.graph import Node

from ..report import Progress
from .forward import run
from .layers import PRODUCTS, Layer, layers
from .model import GraphModel
from .samples import Samples

ROWS = 1024  # that are kept of each matrix, of all samples together
HELD_OUT = 4  # every 4th of them is to judge by, not to choose by


@dataclass
class Reads:
    """Of one matrix.

    low, high  the smallest and the largest number
    parts      float32 [some, columns] of each sample: rows that the product reads
    """

    low: float = np.inf
    high: float = -np.inf
    parts: list[np.ndarray] = field(default_factory=list)

    @property
    def fit(self) -> np.ndarray:
        """float32 [rows, columns] to choose by; all of them where they are few."""
        rows = np.concatenate(self.parts)
        return rows if len(rows) < HELD_OUT else np.delete(rows, np.s_[::HELD_OUT], axis=0)

    @property
    def held_out(self) -> np.ndarray:
        return np.concatenate(self.parts)[::HELD_OUT]

    @property
    def moments(self) -> np.ndarray:
        """float64 [columns, columns]: H = E[x x^T] of rows to choose by."""
        return _moments(self.fit)

    @property
    def held_out_moments(self) -> np.ndarray:
        return _moments(self.held_out)


def _moments(rows: np.ndarray) -> np.ndarray:
    h: np.ndarray = (rows.T @ rows).astype(np.float64) / len(rows)
    return h


Activity = dict[str, Reads]  # by the names of matrices


def observe(
    model: GraphModel, samples: Samples, progress: Progress = lambda done, total: None
) -> Activity:
    """Matrices that are read inside control flow, by recurrent layers or never have no entry."""
    known = {id(layer.node): layer for layer in layers(model.graph) if layer.op in PRODUCTS}
    found: Activity = {}
    random = np.random.default_rng(0)
    most = max(1, ROWS // len(samples))

    def see(node: Node, x: np.ndarray) -> np.ndarray:
        layer: Layer | None = known.get(id(node))
        if layer is not None and x.size:
            reads = found.setdefault(layer.name, Reads())
            reads.low, reads.high = min(reads.low, float(x.min())), max(reads.high, float(x.max()))
            reads.parts.append(layer.rows(x, random, most))
        return x

    for done, sample in enumerate(samples):
        run(model.graph, model, sample, see)
        progress(done + 1, len(samples))
    return found
