"""What a node gives for inputs that are known: as the runtime computes it."""

from collections.abc import Sequence

import numpy as np

from edge.errors import EdgeError, UnsupportedModel
from edge.format.graph import Graph, Node
from edge.runtime.graph.interpreter import call
from edge.runtime.host_ops import OPS

MISTAKES = (EdgeError, ValueError, TypeError, IndexError, ArithmeticError, MemoryError)


def has_operator(op: str) -> bool:
    """Whether the runtime knows it."""
    return op in OPS


def check_operators(graph: Graph, where: str) -> None:
    """Raises UnsupportedModel that names each the runtime does not have, and where it is."""
    missing = {node.op: node for node in graph.walk() if not has_operator(node.op)}
    if missing:
        names = ", ".join(f"{op} (node {node.name!r:.80})" for op, node in missing.items())
        raise UnsupportedModel(f"{where}: operators that edge does not have: {names:.500}")


def evaluated(node: Node, inputs: Sequence[np.ndarray | None]) -> tuple[np.ndarray, ...] | None:
    """Its outputs; None if they are no arrays, or if it cannot work with such inputs: whether that
    matters shows when the graph runs.
    """
    try:
        with np.errstate(all="ignore"):
            found = call(node, list(inputs), {})
    except MISTAKES:
        return None
    if not all(isinstance(array, np.ndarray | np.generic) for array in found):
        return None
    return tuple(np.asarray(array) for array in found)
