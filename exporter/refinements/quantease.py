"""Coordinate descent on a quantized matrix: codes, and with them scales and offsets.

QuantEase (Behdin et al. 2023, arXiv:2309.01885) sweeps over the columns and gives each the codes of
least output error while all others stay.  Here a group's scale and offset are coordinates, too: after
its codes they become what least squares give.
"""

from dataclasses import replace

import numpy as np

from edge.format.formats import CODES, QuantizedTensor

from ..scales.stored import stored

SWEEPS = 4
DAMP = 0.1  # of the mean of H's diagonal: what is below is noise of a short calibration
BLOCK = 64  # columns of a block where a scale serves a whole row


def quantease(
    matrix: np.ndarray, tensor: QuantizedTensor, h: np.ndarray, sweeps: int = SWEEPS
) -> QuantizedTensor:
    """The tensor with less tr(D H D^T), H damped, D = Q(W) - W.

    Scales of rows, and of two levels, stay as they are.
    """
    H = h.astype(np.float32)
    H[np.diag_indices_from(H)] += DAMP * H.diagonal().mean() or np.float32(1)
    descent = _Descent(matrix, tensor, H)
    for _ in range(sweeps):
        descent.sweep()
    return descent.tensor()


class _Descent:
    """A matrix [rows, columns] on its grid, and G = (Q(W) - W) H as its codes change."""

    def __init__(self, matrix: np.ndarray, tensor: QuantizedTensor, H: np.ndarray):
        self._tensor, self._H, form = tensor, H, tensor.format
        self._least, self._most = -form.zero, CODES[form.kind].levels - 1 - form.zero
        self._refits = bool(form.group) and tensor.multipliers is None
        scales, offsets = tensor.steps()
        self._scales = scales.T.copy()  # [runs, rows]
        self._offsets = None if offsets is None else offsets.T.copy()
        self._numbers = np.ascontiguousarray(tensor.numbers().T)  # [columns, rows]
        self._G = H @ (tensor.dequantize() - matrix).T

    def sweep(self) -> None:
        """Every column once, a group after the other."""
        columns = len(self._numbers)
        step = self._tensor.format.step_columns or BLOCK
        for at in range(0, columns, step):
            self._block(slice(at, min(at + step, columns)), at // step if self._refits else None)

    def tensor(self) -> QuantizedTensor:
        codes = (self._numbers.T - self._least).astype(np.uint8)
        if not self._refits:
            return replace(self._tensor, codes=codes)
        offsets = None if self._offsets is None else np.ascontiguousarray(self._offsets.T)
        scales = np.ascontiguousarray(self._scales.T)
        return replace(self._tensor, codes=codes, scales=scales, offsets=offsets)

    def _block(self, at: slice, group: int | None) -> None:
        run = at.start // (self._tensor.format.step_columns or len(self._numbers))
        H, G, numbers = self._H[at, at], self._G[at].copy(), self._numbers[at]
        scale = self._scales[run]
        before = numbers * scale
        divisor = np.where(scale == 0, np.float32(1), scale)
        for i, row in enumerate(numbers):
            wanted = row - G[i] / (H[i, i] * divisor)  # an offset moves with neither
            moved = np.clip(np.rint(wanted), self._least, self._most) - row
            row += moved
            G += H[i, :, None] * (moved * scale)
        shift: np.ndarray | float = 0.0
        if group is not None:
            shift = self._refit(group, H, G, numbers)
        change = numbers * self._scales[run] - before + shift
        self._G += self._H[:, at] @ change

    def _refit(self, group: int, H: np.ndarray, G: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Least squares for a group's scale and offset; what was added to the offset, [rows].

        With q the codes' numbers, moving scale and offset by (s, o) changes the error by
        2 (s q + o 1) G + (s q + o 1) H (s q + o 1).
        """
        Hq = H @ numbers
        qHq, qG = (numbers * Hq).sum(axis=0), (numbers * G).sum(axis=0)
        qH1, oneG = np.zeros_like(qG), np.zeros_like(qG)
        oneH1 = np.float32(1)
        if self._offsets is not None:
            qH1, oneG, oneH1 = Hq.sum(axis=0), G.sum(axis=0), H.sum()
        determinant = qHq * oneH1 - qH1 * qH1
        solvable = determinant > 1e-6 * qHq * oneH1
        determinant[~solvable] = 1
        form, scale = self._tensor.format, self._scales[group]
        s = stored(scale + (qH1 * oneG - oneH1 * qG) / determinant, form) - scale
        o = np.zeros_like(s)
        if self._offsets is not None:
            offset = self._offsets[group]
            o = stored(offset + (qH1 * qG - qHq * oneG) / determinant, form) - offset
        gain = 2 * (s * qG + o * oneG) + s * s * qHq + 2 * s * o * qH1 + o * o * oneH1
        better = solvable & (gain < 0)
        s[~better], o[~better] = 0, 0
        self._scales[group] += s
        if self._offsets is not None:
            self._offsets[group] += o
        return o
