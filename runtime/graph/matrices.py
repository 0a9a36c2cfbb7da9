"""A graph's matrices as floats, for operators that run in NumPy."""

from typing import Protocol

import numpy as np

from edge.errors import FormatError
from edge.format.dequantized import row_blocks
from edge.format.reader import EdgeFile


class Matrices(Protocol):
    """Where an operator finds its weights."""

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        """float32 [rows, columns] of NAME.weight, and [rows] of NAME.bias or None."""


class FileMatrices:
    """Those of a file; each is decoded when it is first asked for, and kept.

    `dense` raises FormatError if the file lacks the matrix or its bias does not fit.
    """

    def __init__(self, file: EdgeFile):
        self._file = file
        self._decoded: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        if name not in self._decoded:
            self._decoded[name] = self._matrix(f"{name}.weight"), self._bias(name)
        return self._decoded[name]

    def shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of NAME.weight."""
        shape = self._file.info(f"{name}.weight").shape
        if len(shape) != 2:
            raise FormatError(f"{self._file.path}: {name!r} has no matrix")
        return shape[0], shape[1]

    def _matrix(self, name: str) -> np.ndarray:
        info = self._file.info(name)
        if len(info.shape) != 2:
            raise FormatError(f"{self._file.path}: {name!r} is {info.format}, expected a matrix")
        matrix = np.empty(info.shape, np.float32)
        for rows, values in row_blocks(self._file, name):
            matrix[rows] = values
        return matrix

    def _bias(self, name: str) -> np.ndarray | None:
        bias, rows = f"{name}.bias", self._file.info(f"{name}.weight").shape[0]
        if bias not in self._file:
            return None
        info = self._file.info(bias)
        if info.format != "vector" or info.shape != (rows,):
            found = f"{info.format} {list(info.shape)}"
            raise FormatError(f"{self._file.path}: {bias!r} is {found}, expected vector [{rows}]")
        return self._file.view(bias).view("<f4")[:rows]
