"""GPTQ: a column's rounding error is made up for by the columns that are not rounded yet."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

BLOCK = 128  # columns whose errors reach the columns behind the block at once
DAMP = 0.01  # of the mean of H's diagonal


def gptq(
    matrix: np.ndarray,
    scales: np.ndarray,
    offsets: np.ndarray | None,
    form: WeightFormat,
    h: np.ndarray,
) -> np.ndarray:
    """uint8 [rows, columns] (Frantar et al. 2022, arXiv:2210.17323).

    Columns are taken by falling diagonal of H ("act-order"); scales are those of the groups as
    they are stored, fitted beforehand, so that codes need no index.
    """
    rows, columns = matrix.shape
    order, Hinv = inverse_factor(h)
    W = np.ascontiguousarray(matrix.T[order])  # [columns, rows]
    grid = _Grid(scales, offsets, form, order)
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
    """Order of columns; float32 upper Cholesky factor of the damped H's inverse, so ordered."""
    diagonal = np.diagonal(h).copy()
    diagonal[diagonal == 0] = 1  # inputs that are always 0: any code will do
    H = h.astype(np.float64)
    H[np.diag_indices_from(H)] = diagonal + DAMP * diagonal.mean()
    order = np.argsort(-diagonal, kind="stable")
    H = H[np.ix_(order, order)]
    return order, np.linalg.cholesky(np.linalg.inv(H)).T.astype(np.float32)


class _Grid:
    """Nearest codes of a column: the i-th in GPTQ's order."""

    def __init__(
        self, scales: np.ndarray, offsets: np.ndarray | None, form: WeightFormat, order: np.ndarray
    ):
        self._scales = np.ascontiguousarray(scales.T)  # [groups, rows]
        self._offsets = None if offsets is None else np.ascontiguousarray(offsets.T)
        self._groups = order // (form.group or len(order))
        self._least, self._most = -form.zero, CODES[form.kind].levels - 1 - form.zero

    def nearest(self, i: int, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes, and the values they mean."""
        scale = self._scales[self._groups[i]]
        offset = 0 if self._offsets is None else self._offsets[self._groups[i]]
        q = np.rint((w - offset) / np.where(scale == 0, np.float32(1), scale))
        np.clip(q, self._least, self._most, out=q)
        return (q - self._least).astype(np.uint8), q * scale + offset
