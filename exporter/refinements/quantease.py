"""Coordinate descent on a quantized matrix: codes, and with them scales and offsets.

QuantEase (Behdin et al. 2023, arXiv:2309.01885) sweeps over the columns and gives each the codes of
least output error while all others stay.  Here a group's scale and offset are coordinates, too: after
its codes they become what least squares give.
"""

from dataclasses import replace

import numpy as np

from edge.format.formats import CODES, QuantizedTensor, WeightFormat

from ..scales.stored import stored
from ..scales.two_level import is_unsigned, largest_multiplier

SWEEPS = 4
DAMP = 0.1  # of the mean of H's diagonal: what is below is noise of a short calibration
BLOCK = 64  # columns of a block where a scale serves a whole row


def quantease(
    matrix: np.ndarray, tensor: QuantizedTensor, h: np.ndarray, sweeps: int = SWEEPS
) -> QuantizedTensor:
    """The tensor with less tr(D H D^T), H damped, D = Q(W) - W.

    Scales of rows stay as they are; of those of two levels, the multipliers change.
    """
    H = h.astype(np.float32)
    H[np.diag_indices_from(H)] += DAMP * H.diagonal().mean() or np.float32(1)
    descent = _Descent(matrix, tensor, H)
    for _ in range(sweeps):
        descent.sweep()
    return descent.tensor()


class _Steps:
    """Scales (or offsets) of runs [runs, rows], as they may be stored."""

    def __init__(self, values: np.ndarray, numbers: np.ndarray, runs: int, form: WeightFormat):
        self.values = values.T.copy()
        self._form = form
        self._offered = self.values[:1]
        self._units: np.ndarray | None = None
        if form.multiplier_columns:  # multiples of their groups' numbers
            self._units = np.repeat(numbers.T, form.group // form.multiplier_columns, axis=0)[:runs]

    def stored(self, run: int, wanted: np.ndarray) -> np.ndarray:
        """The nearest values that a run may have."""
        if self._units is None:
            return stored(wanted, self._form)
        unit, most = self._units[run], largest_multiplier(self._form)
        least = 0 if is_unsigned(self._form) else -most
        nearest: np.ndarray = unit * np.clip(np.rint(wanted / _divisor(unit)), least, most)
        return nearest

    def offer(self, run: int, by: np.ndarray) -> np.ndarray:
        """The move that storing leaves of one by so much, [rows]."""
        self._offered = self.stored(run, self.values[run] + by)
        move: np.ndarray = self._offered - self.values[run]
        return move

    def take(self, run: int, where: np.ndarray) -> None:
        """What was offered, in some rows."""
        np.copyto(self.values[run], self._offered, where=where)

    def by_row(self) -> np.ndarray:
        """float32 [rows, runs]"""
        return np.ascontiguousarray(self.values.T)

    def multipliers(self) -> np.ndarray:
        """int8 [rows, runs], of two levels."""
        assert self._units is not None
        factors: np.ndarray = np.rint(self.values / _divisor(self._units)).T.astype(np.int8)
        return factors


def _divisor(values: np.ndarray) -> np.ndarray:
    return np.where(values == 0, np.float32(1), values)


class _Descent:
    """A matrix [rows, columns] on its grid, and G = (Q(W) - W) H as its codes change."""

    def __init__(self, matrix: np.ndarray, tensor: QuantizedTensor, H: np.ndarray):
        self._tensor, self._H, form = tensor, H, tensor.format
        self._least, self._most = -form.zero, CODES[form.kind].levels - 1 - form.zero
        scales, offsets = tensor.steps()
        runs = scales.shape[1]
        self._scales, self._offsets = _Steps(scales, tensor.scales, runs, form), None
        if offsets is not None and tensor.offsets is not None:
            self._offsets = _Steps(offsets, tensor.offsets, runs, form)
        self._numbers = np.ascontiguousarray(tensor.numbers().T)  # [columns, rows]
        self._G = H @ (tensor.dequantize() - matrix).T

    def sweep(self) -> None:
        """Every column once, a run that shares a scale after the other."""
        columns, width = len(self._numbers), self._tensor.format.step_columns
        for at in range(0, columns, width or BLOCK):
            run = at // width if width else 0
            self._block(slice(at, min(at + (width or BLOCK), columns)), run, refits=width > 0)

    def tensor(self) -> QuantizedTensor:
        codes = (self._numbers.T - self._least).astype(np.uint8)
        scales, offsets = self._scales, self._offsets
        tensor = replace(self._tensor, codes=codes)
        if self._tensor.multipliers is None:
            tensor = replace(tensor, scales=scales.by_row())
            return tensor if offsets is None else replace(tensor, offsets=offsets.by_row())
        tensor = replace(tensor, multipliers=scales.multipliers())
        return (
            tensor if offsets is None else replace(tensor, offset_multipliers=offsets.multipliers())
        )

    def _block(self, at: slice, run: int, refits: bool) -> None:
        H, G, numbers = self._H[at, at], self._G[at].copy(), self._numbers[at]
        scale = self._scales.values[run]
        before, divisor = numbers * scale, _divisor(scale)
        for i, row in enumerate(numbers):
            wanted = row - G[i] / (H[i, i] * divisor)
            moved = np.clip(np.rint(wanted), self._least, self._most) - row
            row += moved
            G += H[i, :, None] * (moved * scale)
        shift = self._refit(run, H, G, numbers) if refits else np.float32(0)
        change = numbers * self._scales.values[run] - before + shift
        self._G += self._H[:, at] @ change

    def _refit(self, run: int, H: np.ndarray, G: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Least squares for a run's scale and offset; what was added to the offset, [rows].

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
        s = self._scales.offer(run, (qH1 * oneG - oneH1 * qG) / determinant)
        o = np.zeros_like(s)
        if self._offsets is not None:
            o = self._offsets.offer(run, (qH1 * qG - qHq * oneG) / determinant)
        gain = 2 * (s * qG + o * oneG) + s * s * qHq + 2 * s * o * qH1 + o * o * oneH1
        better = solvable & (gain < 0)
        self._scales.take(run, better)
        if self._offsets is not None:
            self._offsets.take(run, better)
        return np.where(better, o, np.float32(0))
