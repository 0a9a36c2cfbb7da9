"""Where operators in NumPy are registered, and what is said of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HostOp:
    """An operator in NumPy: `function(*inputs, **attributes)` gives an array or a tuple of them.

    shaped_by       inputs whose *values* the shapes of its outputs depend on; None: all of them, so
                    that nobody knows the shapes before it has run
    counts_outputs  whether it takes `outputs`, how many are wanted
    takes_scope     whether it takes `scope`, with which it runs the graphs among its attributes
    takes_matrices  whether it takes `matrices`, where it finds weights (runtime/graph/matrices.py)
    """

    function: Callable[..., Any]
    shaped_by: tuple[int, ...] | None = ()
    counts_outputs: bool = False
    takes_scope: bool = False
    takes_matrices: bool = False


OPS: dict[str, HostOp] = {}


def op(
    *names: str,
    shaped_by: tuple[int, ...] | None = (),
    counts_outputs: bool = False,
    takes_scope: bool = False,
    takes_matrices: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the operators of these names."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            OPS[name] = HostOp(function, shaped_by, counts_outputs, takes_scope, takes_matrices)
        return function

    return register
