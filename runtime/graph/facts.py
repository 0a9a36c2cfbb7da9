"""What is known of a graph's values before it runs: shapes, types, and the values of sizes."""

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import DoesNotFit
from edge.format.graph import Graph, Node

from ..host_ops import OPS
from .interpreter import call
from .matrices import Matrices
from .shapes import SHAPES

SIZES = ("Shape", "Size")  # look at shapes alone

MOST = 2**30  # elements of a value: 4 GiB of floats


@dataclass(frozen=True)
class Fact:
    """An array's shape and type, and the array itself where it does not depend on inputs."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    value: np.ndarray | None = None

    def stand_in(self) -> np.ndarray:
        """The value, or zeros of its shape that take no memory."""
        if self.value is not None:
            return self.value
        zero: Any = "" if self.dtype == object else 0
        return np.broadcast_to(np.array(zero, self.dtype), self.shape)


Facts = Mapping[str, Fact | None]  # None: nothing is known (a sequence, an optional)


def fact(value: Any, known: bool = False) -> Fact | None:
    """Of what a node made; `known` keeps the value."""
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):
        return None
    return Fact(value.shape, value.dtype, value if known else None)


def size_values(graph: Graph, constants: Container[str]) -> frozenset[str]:
    """Names whose values, not only shapes, decide what shapes others have, or which branch is taken
    where shapes decide that."""
    nodes = list(_unfolded(graph.nodes))
    decided = _decided_by_shapes(nodes, constants)
    wanted: set[str] = set()
    for node in reversed(nodes):
        host = OPS.get(node.op)
        if host is None or node.op in SIZES:
            continue
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
        if node.op == "If":
            wanted.update(decided.intersection(node.inputs))
            wanted.update(inner for inner, name in _results(node) if name in wanted)
        wanted.update(node.inputs[i] for i in host.shaped_by or () if i < len(node.inputs))
    return frozenset(wanted - {""})


def _decided_by_shapes(nodes: Iterable[Node], constants: Container[str]) -> set[str]:
    """Values that follow from shapes and constants alone."""
    decided: set[str] = set()
    for node in nodes:
        host, inputs = OPS.get(node.op), [name for name in node.inputs if name]
        follows = bool(inputs) and all(name in decided or name in constants for name in inputs)
        if node.op in SIZES or (follows and host is not None and host.shaped_by is not None):
            decided.update(node.outputs)
    return decided


def _unfolded(nodes: Iterable[Node]) -> Iterator[Node]:
    """Nodes, and before each If those of its branches."""
    for node in nodes:
        if node.op == "If":
            for branch in node.graphs:
                yield from _unfolded(branch.nodes)
        yield node


def _results(node: Node) -> Iterator[tuple[str, str]]:
    """(the output of a branch, what an If calls it), of both branches."""
    for branch in node.graphs:
        yield from zip((value.name for value in branch.outputs), node.outputs, strict=False)


def outcome(
    node: Node, facts: Facts, wanted: frozenset[str], matrices: Matrices
) -> list[Fact | None] | None:
    """What is known of a node's outputs; None if that shows only when it has run."""
    host = OPS.get(node.op)
    if host is None or host.shaped_by is None:
        return None
    inputs = [facts[name] if name else None for name in node.inputs]
    if any(name and found is None for name, found in zip(node.inputs, inputs, strict=True)):
        return None
    present = [i for i, found in enumerate(inputs) if found is not None]
    is_known = all(inputs[i].value is not None for i in present)  # type: ignore[union-attr]
    if not is_known and any(
        i in present and inputs[i].value is None  # type: ignore[union-attr]
        for i in host.shaped_by
    ):
        return None
    keep = node.op in SIZES or (is_known and bool(wanted.intersection(node.outputs)))
    if not keep and node.op in SHAPES:
        found = SHAPES[node.op](node, [f for f in inputs if f is not None], matrices)
        if found is not None:
            for shape, _ in found:
                if math.prod(shape) > MOST:
                    raise DoesNotFit(f"{node} makes {list(shape)!r:.60}; use smaller inputs")
            return [Fact(shape, dtype) for shape, dtype in found]
    stand_ins = [None if f is None else f.stand_in() for f in inputs]
    with np.errstate(all="ignore"):
        results = call(node, stand_ins, facts, matrices)
    return [fact(result, keep) for result in results]
