"""The choice of least total error under a budget: one candidate a matrix."""

import numpy as np

UNITS = 4096  # that the spare part of a budget is cut into; costs are rounded up to whole ones


def choose(errors: np.ndarray, costs: np.ndarray, budget: float) -> list[int] | None:
    """A candidate for each matrix, or None if even the cheapest cost more than `budget`.

    errors, costs  float64 [matrices, candidates]; costs in bytes

    Multiple-choice knapsack by dynamic programming: exact for the rounded costs, which never
    exceed the budget and waste at most a 4096th of what can be spent a matrix.
    """
    least = costs.min(axis=1)
    spare = budget - least.sum()
    if spare < 0:
        return None
    unit = max(1.0, spare / UNITS)
    most = int(spare / unit)
    extra = np.ceil((costs - least[:, None]) / unit).astype(np.int64)
    best = np.zeros(most + 1)  # least error of the matrices so far, by units spent at most
    picks = np.empty((len(errors), most + 1), np.int64)
    for i, (error, units) in enumerate(zip(errors, extra, strict=True)):
        totals = np.full((len(error), most + 1), np.inf)
        for j in np.flatnonzero(units <= most):
            totals[j, units[j] :] = error[j] + best[: most + 1 - units[j]]
        picks[i] = totals.argmin(axis=0)
        best = totals.min(axis=0)
    chosen, left = [], most
    for i in range(len(errors) - 1, -1, -1):
        chosen.append(int(picks[i, left]))
        left -= int(extra[i, chosen[-1]])
    return chosen[::-1]
