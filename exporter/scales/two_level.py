"""Scales of two levels: a run's number is a small multiple of its group's, as in ggml's K-quants."""

from dataclasses import dataclass

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .search import Grid, residual
from .stored import half

FULL = 127
REACHES = range(FULL, 87, -5)  # of FULL: parts of the largest multiplier that a group's largest
# scale is tried with
NAMES = ("scales", "offsets"), ("multipliers", "offset_multipliers")


@dataclass(frozen=True)
class Levels:
    """Numbers of runs [rows, groups, runs of a group]: a float16 of the group times an integer.

    numbers      float32 [rows, groups]
    multipliers  int8 [rows, groups, runs of a group]
    """

    numbers: np.ndarray
    multipliers: np.ndarray

    @classmethod
    def nearest(
        cls, values: np.ndarray, form: WeightFormat, reach: int = FULL, least: int = 0
    ) -> "Levels":
        """To `values`, where the largest of a group is that part of the largest multiplier.

        Multipliers of what is not 0 are `least` at least.  Where they have no sign the group's
        number has it, which is that of all its values.
        """
        most = largest_multiplier(form)
        numbers = half(np.abs(values).max(axis=2) / np.float32(most * reach / FULL))
        steps = np.where(numbers == 0, np.float32(1), numbers)[:, :, None]
        sizes = np.clip(np.rint(np.abs(values) / steps), least, most)
        signs = np.sign(values)
        if is_unsigned(form):
            numbers, signs = np.where(values.min(axis=2) < 0, -numbers, numbers), np.abs(signs)
        return cls(numbers, (signs * sizes).astype(np.int8))

    @property
    def values(self) -> np.ndarray:
        """float32 [rows, runs]"""
        values: np.ndarray = self.numbers[:, :, None] * self.multipliers
        return values.reshape(len(values), -1)

    def take(self, other: "Levels", where: np.ndarray) -> None:
        """The other's in some groups, bool [rows, groups]."""
        np.copyto(self.numbers, other.numbers, where=where)
        np.copyto(self.multipliers, other.multipliers, where=where[:, :, None])


def largest_multiplier(form: WeightFormat) -> int:
    """127 or 15; -127 is the least of those with a sign."""
    return form.multiplier_values[-1]


def is_unsigned(form: WeightFormat) -> bool:
    return form.multiplier_values[0] == 0


def two_levels(
    groups: np.ndarray, grid: Grid, form: WeightFormat, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """`grid` of runs [rows, runs, width] as parts of a QuantizedTensor: numbers and multipliers.

    Of a few numbers for the scales of a group, those of least squared error: by `weights`
    [runs, width], where there are some.
    """
    of_a_group = form.group // form.multiplier_columns
    spare = -groups.shape[1] % of_a_group  # runs that a last group lacks: zeros
    padded = np.pad(groups, ((0, 0), (0, spare), (0, 0)))
    if weights is not None:
        weights = np.pad(weights, ((0, spare), (0, 0)))
    scales, offsets = (p if p is None else np.pad(p, ((0, 0), (0, spare))) for p in grid)
    assert scales is not None
    if offsets is not None and is_unsigned(form):
        scales, offsets = _of_one_sign(scales, offsets, form, of_a_group)
    fit = _Fit(padded, scales, offsets, form, weights, of_a_group)
    best = fit.levels(REACHES[0])
    least = fit.cost(best)
    for found in map(fit.levels, REACHES[1:]):
        cost = fit.cost(found)
        better = cost < least
        np.copyto(least, cost, where=better)
        for kept, other in zip(best, found, strict=True):
            kept.take(other, better)
    parts = {}
    for numbers, multipliers, levels in zip(*NAMES, best, strict=False):
        parts[numbers] = levels.numbers
        parts[multipliers] = levels.multipliers.reshape(len(groups), -1)[:, : groups.shape[1]]
    return parts


@dataclass(frozen=True)
class _Fit:
    """Runs [rows, runs, width] of whole groups, and the grid that they would like."""

    runs: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray | None
    form: WeightFormat
    weights: np.ndarray | None
    of_a_group: int

    def levels(self, reach: int) -> list[Levels]:
        """Of scales, and of the offsets that are best for these."""
        scales = Levels.nearest(self._grouped(self.scales), self.form, reach, least=1)
        if self.offsets is None:
            return [scales]
        offsets = self._grouped(self._refitted(scales.values))
        return [scales, Levels.nearest(offsets, self.form)]

    def cost(self, levels: list[Levels]) -> np.ndarray:
        """Squared errors of groups [rows, groups]."""
        moved = residual(self.runs, _grid(levels), self.form)
        with np.errstate(over="ignore"):
            moved *= moved
        if self.weights is not None:
            moved *= self.weights
        sums: np.ndarray = self._grouped(moved.sum(axis=2)).sum(axis=2)
        return sums

    def _refitted(self, scales: np.ndarray) -> np.ndarray:
        """Offsets of least squares for the codes that scales and the old offsets give."""
        assert self.offsets is not None
        moved = residual(self.runs, (scales, self.offsets), self.form)
        if self.weights is None:
            shift: np.ndarray = moved.mean(axis=2)
        else:
            total = np.maximum(self.weights.sum(axis=1), np.finfo(np.float32).tiny)
            shift = (moved * self.weights).sum(axis=2) / total
        refitted: np.ndarray = self.offsets + shift
        if is_unsigned(self.form):  # the sign of a group's offsets stays
            below = _below(self.offsets, self.of_a_group)
            refitted = np.where(below, np.minimum(refitted, 0), np.maximum(refitted, 0))
        return refitted

    def _grouped(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(len(values), -1, self.of_a_group)


def _of_one_sign(
    scales: np.ndarray, offsets: np.ndarray, form: WeightFormat, of_a_group: int
) -> Grid:
    """A run that begins above 0 begins at 0 if another of its group, [rows, runs], begins below.

    Its last code stays where it is.
    """
    moved = _below(offsets, of_a_group) & (offsets > 0)
    reaching = scales + offsets / np.float32(CODES[form.kind].levels - 1)
    return np.where(moved, reaching, scales), np.where(moved, np.float32(0), offsets)


def _below(offsets: np.ndarray, of_a_group: int) -> np.ndarray:
    """bool [rows, runs]: whether a run of the same group begins below 0."""
    any_of_group = (offsets.reshape(len(offsets), -1, of_a_group) < 0).any(axis=2)
    runs: np.ndarray = np.repeat(any_of_group, of_a_group, axis=1)
    return runs


def _grid(levels: list[Levels]) -> Grid:
    return levels[0].values, levels[1].values if len(levels) > 1 else None
