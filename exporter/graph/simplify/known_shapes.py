"""What graphs compute from shapes, where the sizes that matter are fixed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edge.format.graph import Graph, Node

from ..evaluate import evaluated
from ..rewriting import Rewriting

MOVING = ("Gather", "Slice", "Squeeze", "Unsqueeze", "Identity")  # their first input
COMBINING = ("Add", "Sub", "Mul", "Div")


@dataclass(frozen=True)
class Partial:
    """int64 numbers, some of them unknown: `values` are right where `known`."""

    values: np.ndarray
    known: np.ndarray


def with_known_shapes(graph: Graph) -> Graph:
    """Shape, and what is picked and computed from it, as constants where nothing unknown is left."""
    at = Rewriting(graph)
    partial: dict[str, Partial] = {}

    def of(name: str) -> Partial | None:
        array = at.constants.get(name)
        if array is not None and array.dtype == np.int64:
            return Partial(array, np.ones(array.shape, bool))
        return partial.get(name)

    def change(node: Node) -> list[Node]:
        found = _shape(node, at) if node.op in ("Shape", "Size") else _derived(node, at, of)
        if found is None:
            return [node]
        if found.known.all():
            at.constants[node.outputs[0]] = found.values
            return []
        partial[node.outputs[0]] = found
        return [node]

    return at.result(change)


def _shape(node: Node, at: Rewriting) -> Partial | None:
    sizes = at.sizes(node.inputs[0])
    if sizes is None:
        return None
    known = np.array([size is not None for size in sizes], bool)
    values = np.array([size or 0 for size in sizes], np.int64)
    if node.op == "Size":
        return Partial(np.array(values.prod()), np.array(known.all()))
    at_axes = slice(node.attributes.get("start", 0), node.attributes.get("end"))
    return Partial(values[at_axes], known[at_axes])


def _derived(node: Node, at: Rewriting, of: Callable[[str], Partial | None]) -> Partial | None:
    count = 1 if node.op in MOVING else len(node.inputs)
    if node.op not in (*MOVING, *COMBINING, "Concat") or len(node.outputs) != 1:
        return None
    found = [of(name) for name in node.inputs[:count]]
    others = [at.constants.get(name) for name in node.inputs[count:]]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found) or any(other is None for other in others):
        return None
    values = evaluated(node, [*(p.values for p in parts), *others])
    how = replace(node, op="And") if node.op in COMBINING else node
    known = evaluated(how, [*(p.known for p in parts), *others])
    return Partial(values[0], known[0]) if values and known else None
