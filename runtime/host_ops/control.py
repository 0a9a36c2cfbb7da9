"""Control flow: graphs inside of nodes, run by way of a scope (runtime/graph/interpreter.py)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.format.graph import Graph, Value

from .registry import op
from .types import held


@op("If", shaped_by=None, takes_scope=True)
def if_(condition: np.ndarray, *, then_branch: Graph, else_branch: Graph, scope: Any) -> Any:
    return scope.run(then_branch if condition.item() else else_branch, ())


def _stacked(slices: list[np.ndarray], value: Value, axis: int = 0) -> np.ndarray:
    """What each turn gave, along an axis; after no turn, an empty array of the declared type."""
    if slices:
        return np.stack(slices, axis)
    shape = [n if isinstance(n, int) else 0 for n in value.shape or ()]
    shape.insert(axis if axis >= 0 else axis + len(shape) + 1, 0)
    return np.empty(shape, held(value.dtype or "float32"))


@op("Loop", shaped_by=None, takes_scope=True)
def loop(
    most: np.ndarray | None,
    condition: np.ndarray | None,
    *state: Any,
    body: Graph,
    scope: Any,
) -> tuple[Any, ...]:
    """The last state, then what each turn gave; it ends after `most` turns or when told to."""
    turn = 0
    goes_on = condition is None or bool(condition.item())
    given: list[tuple[Any, ...]] = []
    while goes_on and (most is None or turn < most.item()):
        results = scope.run(body, (np.array(turn, np.int64), np.array(goes_on), *state))
        state = results[1 : 1 + len(state)]
        goes_on, turn = bool(results[0].item()), turn + 1
        given.append(results[1 + len(state) :])
    values = body.outputs[1 + len(state) :]
    return *state, *(_stacked([g[i] for g in given], value) for i, value in enumerate(values))


def _direction(directions: Sequence[int] | None, i: int) -> int:
    return -1 if directions and directions[i] else 1


@op("Scan", shaped_by=None, takes_scope=True)
def scan(
    *inputs: Any,
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
    scope: Any,
) -> tuple[Any, ...]:
    """The last state, then what each turn gave, for a slice of each scanned input a turn."""
    state, scanned = inputs[: len(inputs) - num_scan_inputs], inputs[-num_scan_inputs:]
    slices = [
        np.moveaxis(x, scan_input_axes[i] if scan_input_axes else 0, 0)[
            :: _direction(scan_input_directions, i)
        ]
        for i, x in enumerate(scanned)
    ]
    given: list[tuple[Any, ...]] = []
    for step in zip(*slices, strict=True):
        results = scope.run(body, (*state, *step))
        state = results[: len(state)]
        given.append(results[len(state) :])
    stacked = [
        _stacked(
            [turn[i] for turn in given][:: _direction(scan_output_directions, i)],
            value,
            scan_output_axes[i] if scan_output_axes else 0,
        )
        for i, value in enumerate(body.outputs[len(state) :])
    ]
    return *state, *stacked
