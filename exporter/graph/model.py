"""An ONNX model being lowered: its graph, and the matrices that its layers read by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.format.formats import QuantizedTensor
from edge.format.graph import Graph

from .grid import Grid


@dataclass(frozen=True)
class Matrix:
    """The weights of an edge.Linear or an edge.Conv; the file has them as NAME.weight, NAME.bias.

    weight  float32 [rows, columns]
    bias    float32 [rows] or None
    kept    the source's own grid, to be carried over as it is; None where the source has floats
    source  what the ONNX file calls it
    """

    weight: np.ndarray
    bias: np.ndarray | None = None
    kept: QuantizedTensor | None = None
    source: str = ""


@dataclass(frozen=True)
class GraphModel:
    """What the passes turn into one another.

    opset  of ONNX, that the source was written in
    name   what its author called it
    grids  of constants that another tool has quantized, by name
    notes  on the way it went, for its user
    files  that it was read from: the model's own, then those of external data
    """

    graph: Graph
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    opset: int = 0
    name: str = ""
    grids: Mapping[str, Grid] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """float32 [rows, columns] and [rows] or None: what edge's operators in NumPy ask for."""
        matrix = self.matrices[name]
        return matrix.weight, matrix.bias
