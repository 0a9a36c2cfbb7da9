"""A graph node by node, in NumPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import DoesNotFit, EdgeError, InputError, UnsupportedModel
from edge.format.graph import Graph, Node

from ..host_ops import OPS, HostOp
from .matrices import Matrices

# What operators raise that are given what they cannot do with.
MISTAKES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
Values = Mapping[str, Any]


def host_op(node: Node) -> HostOp:
    try:
        return OPS[node.op]
    except KeyError:
        raise UnsupportedModel(f"operator {node}: edge has no such operator") from None


class Scope:
    """Values that the graphs inside of a node see, and how they are run."""

    def __init__(self, values: Values, matrices: Matrices | None):
        self._values, self._matrices = values, matrices

    def run(self, graph: Graph, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The outputs of a branch or of a loop's body."""
        names = [value.name for value in graph.inputs]
        values = {**self._values, **dict(zip(names, inputs, strict=True))}
        return run(graph, values, self._matrices)


def run(graph: Graph, values: Values, matrices: Matrices | None = None) -> tuple[Any, ...]:
    """The graph's outputs, for `values` that have its inputs and what it captures, by name.

    `matrices` are those of its layers, if it has edge's own operators.
    """
    known: dict[str, Any] = {"": None, **graph.constants, **values}
    for node in graph.nodes:
        results = call(node, [known[name] for name in node.inputs], known, matrices)
        known.update(zip(node.outputs, results, strict=False))
        known[""] = None
    return tuple(known[value.name] for value in graph.outputs)


def call(
    node: Node,
    inputs: list[Any],
    around: Values,
    matrices: Matrices | None = None,
    scope: Scope | None = None,
) -> tuple[Any, ...]:
    """What a node makes of its inputs; `scope` runs the graphs inside of it.

    Raises UnsupportedModel for an operator that edge lacks, InputError if it cannot do with these,
    DoesNotFit if what it makes needs more memory than there is.
    """
    host = host_op(node)
    more: dict[str, Any] = {}
    if host.counts_outputs:
        more["outputs"] = len(node.outputs)
    if host.takes_scope:
        more["scope"] = scope or Scope(around, matrices)
    if host.takes_matrices:
        more["matrices"] = matrices
    try:
        with np.errstate(all="ignore"):  # infinities and NaN are results like others
            results = host.function(*inputs, **node.attributes, **more)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{node}: {error}") from None
    except EdgeError:  # of a node in a graph inside
        raise
    except MemoryError as error:
        raise DoesNotFit(f"{node} of {_shown(inputs)}: {error}") from error
    except MISTAKES as error:
        raise InputError(f"{node} of {_shown(inputs)}: {error}") from error
    results = results if isinstance(results, tuple) else (results,)
    if len(results) < len(node.outputs):
        raise UnsupportedModel(f"{node}: {len(node.outputs)} outputs, edge has {len(results)}")
    return tuple(np.asarray(r) if isinstance(r, np.generic) else r for r in results)


def _shown(inputs: list[Any]) -> str:
    """Types and shapes, for people."""
    shown = [
        f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
        for x in inputs
    ]
    return ", ".join(shown) or "nothing"
