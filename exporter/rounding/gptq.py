"""GPTQ: a column's rounding error is made up for by the columns that are not rounded yet."""

import numpy as np

from edge.format.formats import CODEBOOK_ROWS, CODES, WeightFormat

from .nearest import middles

BLOCK = 128  # columns whose errors reach the columns behind the block at once
DAMP = 0.01  # of the mean of H's diagonal


def gptq(
    matrix: np.ndarray,
    scales: np.ndarray,
    offsets: np.ndarray | None,
    form: WeightFormat,
    h: np.ndarray,
    codebooks: np.ndarray | None = None,
) -> np.ndarray:
    """uint8 [rows, columns] (Frantar et al. 2022, arXiv:2210.17323).

    Columns are taken by falling diagonal of H ("act-order"); scales are those of the groups (or
    runs) as they are stored, fitted beforehand, so that codes need no index.
    """
    rows, columns = matrix.shape
    order, Hinv = inverse_factor(h)
    W = np.ascontiguousarray(matrix.T[order])  # [columns, rows]
    groups = order // (form.step_columns or columns)
    if codebooks is None:
        grid: _Grid | _Levels = _Grid(scales, offsets, form, groups)
    else:
        grid = _Levels(scales, codebooks, groups)
    codes = np.empty((columns, rows), np.uint8)
    for start in range(0, columns, BLOCK):
        end = min(start + BLOCK, columns)
        Err = np.empty((end - start, rows), np.float32)
        for i in range(start, end):
            codes[order[i]], value = grid.nearest(i, W[i])
            Err[i - start] = (W[i] - value) / Hinv[i, i]
            W[i + 1 : end] -= Hinv[i, i + 1 : end, None] * Err[i - start]
        W[end:] -= Hinv[start:end, end:].T @ Err
    return np.ascontiguousarray(codes.T)


def inverse_factor(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of columns; float32 upper U of the damped H so ordered: U^T U = H^-1.

    From H = R R^T with R upper (the Cholesky factor of H back to front), U = R^-1.
    """
    diagonal = np.diagonal(h).copy()
    diagonal[diagonal == 0] = 1  # inputs that are always 0: any code will do
    H = h.astype(np.float64)
    H[np.diag_indices_from(H)] = diagonal + DAMP * diagonal.mean()
    order = np.argsort(-diagonal, kind="stable")
    H = H[np.ix_(order, order)]
    R = np.linalg.cholesky(H[::-1, ::-1])[::-1, ::-1]
    return order, _upper_inverse(R).astype(np.float32)


def _upper_inverse(R: np.ndarray) -> np.ndarray:
    """Of an upper triangular matrix, by halves: a third of the work of inverting it as any."""
    half = len(R) // 2
    if len(R) <= 64:
        return np.linalg.inv(R)
    inverse = np.zeros_like(R)
    inverse[:half, :half] = _upper_inverse(R[:half, :half])
    inverse[half:, half:] = _upper_inverse(R[half:, half:])
    inverse[:half, half:] = -inverse[:half, :half] @ R[:half, half:] @ inverse[half:, half:]
    return inverse


class _Grid:
    """Nearest codes of a column: the i-th in GPTQ's order."""

    def __init__(
        self, scales: np.ndarray, offsets: np.ndarray | None, form: WeightFormat, groups: np.ndarray
    ):
        self._scales = np.ascontiguousarray(scales.T)  # [groups, rows]
        self._offsets = None if offsets is None else np.ascontiguousarray(offsets.T)
        self._groups = groups
        self._least, self._most = -form.zero, CODES[form.kind].levels - 1 - form.zero

    def nearest(self, i: int, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes, and the values they mean."""
        scale = self._scales[self._groups[i]]
        offset = 0 if self._offsets is None else self._offsets[self._groups[i]]
        q = np.rint((w - offset) / np.where(scale == 0, np.float32(1), scale))
        np.clip(q, self._least, self._most, out=q)
        return (q - self._least).astype(np.uint8), q * scale + offset


class _Levels:
    """The same, of codebooks."""

    def __init__(self, scales: np.ndarray, codebooks: np.ndarray, groups: np.ndarray):
        self._scales = np.ascontiguousarray(scales.T)  # [groups, rows]
        self._middles = middles(codebooks, len(scales))
        self._levels = np.repeat(codebooks.astype(np.float32), CODEBOOK_ROWS, axis=0)
        self._rows, self._groups = np.arange(len(scales)), groups

    def nearest(self, i: int, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = self._scales[self._groups[i]]
        on_scale = w / np.where(scale == 0, np.float32(1), scale)
        codes = (on_scale > self._middles).sum(axis=0, dtype=np.uint8)
        return codes, self._levels[self._rows, codes] * scale
