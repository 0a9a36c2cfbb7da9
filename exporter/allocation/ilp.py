"""The choice of least total error under budgets: one candidate a matrix."""

import numpy as np

ROOM = 1e-6  # of a budget: by so much a solver's answer may exceed it


def choose(errors: np.ndarray, costs: np.ndarray, budget: float) -> list[int] | None:
    """A candidate for each matrix, or None if even the cheapest cost more than `budget`.

    errors, costs  float64 [matrices, candidates]; costs in bytes or milliseconds, like the budget

    A multiple-choice knapsack as an integer program (HAWQ-V3, Yao et al. 2021, arXiv:2011.10680).
    """
    if costs.min(axis=1).sum() > budget:
        return None
    chosen = _solve(errors, costs, budget)
    if costs[np.arange(len(costs)), chosen].sum() > budget:  # by the solver's tolerance
        chosen = _solve(errors, costs, budget * (1 - ROOM))
    return [int(j) for j in chosen]


def _solve(errors: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array, eye_array, kron

    matrices, candidates = errors.shape
    one_each = kron(eye_array(matrices), np.ones((1, candidates)))
    spent = csr_array(costs.reshape(1, -1) / budget)
    found = milp(
        errors.ravel() / (errors.max() or 1.0),
        integrality=np.ones(errors.size),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(spent, -np.inf, 1)],
    )
    if found.x is None:  # by a hair: the cheapest are what fits
        cheapest: np.ndarray = costs.argmin(axis=1)
        return cheapest
    choice: np.ndarray = found.x.reshape(matrices, candidates).argmax(axis=1)
    return choice
