"""Searches over the ranges of groups: the grid of least cost so far, group by group."""

from collections.abc import Callable

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .absmax import absmax
from .minmax import minmax
from .signed_absmax import signed_absmax

SIGNED = ("int3", "int4", "int5", "int6")
Cost = Callable[[np.ndarray], np.ndarray]  # residuals [rows, groups, width] -> [rows, groups]
Grid = tuple[np.ndarray, np.ndarray | None]  # scales and offsets, as stored


def grid_over(low: np.ndarray, high: np.ndarray, form: WeightFormat) -> Grid:
    """The grid whose outermost codes reach `low` and `high`, [rows, groups] each.

    A grid without offset is symmetric and reaches the farther end; with few levels, all in use.
    """
    ends = np.stack([low, high], axis=2)
    if form.offset:
        return minmax(ends, form)
    return signed_absmax(ends, form) if form.kind in SIGNED else absmax(ends, form)


def residual(groups: np.ndarray, grid: Grid, form: WeightFormat) -> np.ndarray:
    """W - Q(W), rounded to nearest."""
    scales, offsets = (None if part is None else part[:, :, None] for part in grid)
    assert scales is not None
    on_grid = groups.copy() if offsets is None else groups - offsets
    on_grid /= np.where(scales == 0, np.float32(1), scales)
    np.rint(on_grid, out=on_grid)
    np.clip(on_grid, -form.zero, CODES[form.kind].levels - 1 - form.zero, out=on_grid)
    on_grid *= scales
    if offsets is not None:
        on_grid += offsets
    np.subtract(groups, on_grid, out=on_grid)
    return on_grid


def squares(residuals: np.ndarray) -> np.ndarray:
    """Infinite for weights beyond 1e19: then the first grid stays."""
    with np.errstate(over="ignore"):
        sums: np.ndarray = np.einsum("rgw,rgw->rg", residuals, residuals)
    return sums


class Search:
    """Begins with the grid over the whole range; offers that cost a group less replace it."""

    def __init__(self, groups: np.ndarray, form: WeightFormat, cost: Cost):
        self._groups, self._form, self._cost = groups, form, cost
        self.low, self.high = groups.min(axis=2), groups.max(axis=2)
        self.scales, self.offsets = grid_over(self.low, self.high, form)
        self._costs = cost(residual(groups, (self.scales, self.offsets), form))

    @property
    def grid(self) -> Grid:
        return self.scales, self.offsets

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """What the best grid with offsets reaches."""
        assert self.offsets is not None
        top = np.float32(CODES[self._form.kind].levels - 1)
        return self.offsets, self.offsets + top * self.scales

    def offer_range(self, low: np.ndarray, high: np.ndarray) -> None:
        self.offer(*grid_over(low, high, self._form))

    def offer(self, scales: np.ndarray, offsets: np.ndarray | None) -> None:
        costs = self._cost(residual(self._groups, (scales, offsets), self._form))
        better = costs < self._costs
        np.copyto(self._costs, costs, where=better)
        np.copyto(self.scales, scales, where=better)
        if offsets is not None and self.offsets is not None:
            np.copyto(self.offsets, offsets, where=better)
