"""What rides beside a matrix: a few weights as float16, added to its product.

    y = W x' + C x[columns] + S x + U (V x)

    NAME.outlier_columns  indices [k], rising: columns of x that are 0 in x', which is quantized
    NAME.outlier_weight   float16 [rows, k]: C, what those columns are multiplied by
    NAME.sparse_rows      indices [16 * tiles + 1]: where each row's entries of S begin, and the end
    NAME.sparse_entries   indices [n]: bits 0-15 a column, 16-31 a float16
    NAME.low_rank_left    float16 [rows, r]: U
    NAME.low_rank_right   float16 [r, columns]: V

The matrix is NAME.weight.  Entries of S lie row after row, so that a run of tiles finds its own
together; rows of padding have none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .formats import FLOATS, TILE_ROWS
from .spec import TensorInfo

PAIRS = {
    "outlier": ("outlier_columns", "outlier_weight"),
    "sparse": ("sparse_rows", "sparse_entries"),
    "low_rank": ("low_rank_left", "low_rank_right"),
}
PARTS = {part: kind for kind, pair in PAIRS.items() for part in pair}
MOST_COLUMNS = 2**16  # of a matrix with sparse entries


@dataclass(frozen=True)
class Outliers:
    """columns int32 [k], rising; weight float32 [rows, k] that float16 holds."""

    columns: np.ndarray
    weight: np.ndarray

    kind = "outlier"

    @property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self.columns, self.weight


@dataclass(frozen=True)
class Sparse:
    """rows int32 [16 * tiles + 1]; entries int32 [n] as they are stored."""

    rows: np.ndarray
    entries: np.ndarray

    kind = "sparse"

    @property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self.rows, self.entries

    @classmethod
    def of(cls, matrix: np.ndarray, where: np.ndarray) -> "Sparse":
        """The values of a matrix at places, bool [rows, columns]; at most 65536 columns."""
        padded = np.zeros(-(-len(matrix) // TILE_ROWS) * TILE_ROWS + 1, np.int32)
        padded[1 : len(matrix) + 1] = where.sum(axis=1)
        halves = matrix[where].astype("<f2").view("<u2").astype(np.uint32)
        entries = halves << 16 | np.nonzero(where)[1].astype(np.uint32)
        return cls(np.cumsum(padded, dtype=np.int32), entries.view(np.int32))

    def of_rows(self, at: slice) -> "Sparse":
        begins = self.rows[at.start : at.stop + 1]
        return Sparse(begins - begins[0], self.entries[begins[0] : begins[-1]])

    def dense(self, rows: int, columns: int) -> np.ndarray:
        """float32 [rows, columns]"""
        matrix = np.zeros((rows, columns), np.float32)
        row = np.repeat(np.arange(len(self.rows) - 1), np.diff(self.rows))
        matrix[row, self.entries & 0xFFFF] = self.values
        return matrix

    @property
    def values(self) -> np.ndarray:
        """float32 [n]"""
        return (self.entries.view(np.uint32) >> 16).astype("<u2").view("<f2").astype(np.float32)


@dataclass(frozen=True)
class LowRank:
    """left [rows, r], right [r, columns], float32 that float16 holds."""

    left: np.ndarray
    right: np.ndarray

    kind = "low_rank"

    @property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self.left, self.right

    def in_order(self, order: np.ndarray) -> "LowRank":
        """Of an input whose columns have been brought into this order."""
        return LowRank(self.left, self.right[:, order])


@dataclass(frozen=True)
class Addends:
    """Of one matrix; each may be missing."""

    outliers: Outliers | None = None
    sparse: Sparse | None = None
    low_rank: LowRank | None = None

    def __bool__(self) -> bool:
        return any(part is not None for part in (self.outliers, self.sparse, self.low_rank))

    def tensors(self) -> dict[str, np.ndarray]:
        """By the last part of their names: int32 [n] indices, float32 matrices."""
        found: dict[str, np.ndarray] = {}
        for kind in (self.outliers, self.sparse, self.low_rank):
            found |= {} if kind is None else dict(zip(PAIRS[kind.kind], kind.pair, strict=True))
        return found

    def of_rows(self, at: slice) -> "Addends":
        """Of some rows of the matrix."""
        outliers, sparse, low_rank = self.outliers, self.sparse, self.low_rank
        return Addends(
            outliers and Outliers(outliers.columns, outliers.weight[at]),
            sparse and sparse.of_rows(at),
            low_rank and LowRank(low_rank.left[at], low_rank.right),
        )

    def add_to(self, values: np.ndarray) -> np.ndarray:
        """float32 [rows, columns]: what a matrix of these values and its addends mean together."""
        together = values.copy()
        if self.outliers is not None:
            together[:, self.outliers.columns] = self.outliers.weight
        if self.sparse is not None:
            together += self.sparse.dense(*values.shape)
        if self.low_rank is not None:
            together += self.low_rank.left @ self.low_rank.right
        return together


def check(tensors: Mapping[str, TensorInfo]) -> None:
    """That addends have the formats and shapes that belong to their matrices.

    Raises ValueError naming the tensor.
    """
    for name in tensors:
        stem, _, part = name.rpartition(".")
        if part in PARTS:
            _check_pair(tensors, stem, PARTS[part])


def _check_pair(tensors: Mapping[str, TensorInfo], stem: str, kind: str) -> None:
    one, two = (f"{stem}.{part}" for part in PAIRS[kind])
    matrix = tensors.get(f"{stem}.weight")
    for name in (one, two):
        if name not in tensors:
            raise ValueError(f"tensor {name!r} is missing, which belongs to the other of its pair")
    if matrix is None or len(matrix.shape) != 2 or stem == "embedding":
        raise ValueError(f"tensor {one!r}: expected a matrix {stem}.weight that can have addends")
    _CHECKS[kind](matrix, tensors[one], tensors[two])


def _check_outliers(matrix: TensorInfo, columns: TensorInfo, weight: TensorInfo) -> None:
    if matrix.format in FLOATS:
        raise ValueError(f"tensor {columns.name!r}: a matrix of {matrix.format} has no outliers")
    count = columns.shape[0]
    _expect(columns, "indices", (min(count, matrix.shape[1]),))
    _expect(weight, "float16", (matrix.shape[0], count))


def _check_sparse(matrix: TensorInfo, rows: TensorInfo, entries: TensorInfo) -> None:
    if matrix.shape[1] > MOST_COLUMNS:
        raise ValueError(f"tensor {entries.name!r}: expected at most {MOST_COLUMNS} columns")
    _expect(rows, "indices", (-(-matrix.shape[0] // TILE_ROWS) * TILE_ROWS + 1,))
    _expect(entries, "indices", (min(entries.elements, matrix.elements),))


def _check_low_rank(matrix: TensorInfo, left: TensorInfo, right: TensorInfo) -> None:
    rank = min(right.shape[0], *matrix.shape)
    _expect(left, "float16", (matrix.shape[0], rank))
    _expect(right, "float16", (rank, matrix.shape[1]))


_CHECKS = {"outlier": _check_outliers, "sparse": _check_sparse, "low_rank": _check_low_rank}


def _expect(info: TensorInfo, form: str, shape: tuple[int, ...]) -> None:
    if info.format != form or info.shape != shape:
        found = f"{info.format} {list(info.shape)}"
        raise ValueError(f"tensor {info.name!r}: expected {form} {list(shape)}, found {found}")


def check_columns(indices: np.ndarray, columns: int) -> None:
    """Raises ValueError unless int32 [k] rise within 0..columns-1."""
    if indices[0] < 0 or indices[-1] >= columns or (np.diff(indices.astype(np.int64)) <= 0).any():
        raise ValueError(f"columns of outliers, expected to rise within 0..{columns - 1}")


def check_entries(rows: np.ndarray, entries: np.ndarray, shape: tuple[int, int]) -> None:
    """Raises ValueError unless all entries lie in the matrix, row after row."""
    real, columns = shape
    steps = np.diff(rows.astype(np.int64))
    if rows[0] != 0 or rows[real] != len(entries) or (steps < 0).any() or steps[real:].any():
        raise ValueError(f"rows of sparse entries, expected to rise from 0 to {len(entries)}")
    if (entries & 0xFFFF).max() >= columns:
        raise ValueError(f"columns of sparse entries, expected 0..{columns - 1}")
