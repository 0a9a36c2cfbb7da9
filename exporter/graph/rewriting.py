"""Changing a graph node by node, also in the graphs inside nodes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edge.format.graph import Graph, Node, Value

from .shapes import inferred

Change = Callable[[Node], list[Node]]


class Rewriting:
    """What is known of a graph while its nodes are replaced, and the constants that they gain."""

    def __init__(self, graph: Graph, opset: int | None = None):
        self.graph = graph
        self.constants = dict(graph.constants)
        self._opset = opset
        self._types: Mapping[str, Value] | None = None
        self._taken = names(graph)

    @property
    def types(self) -> Mapping[str, Value]:
        if self._types is None:
            self._types = inferred(self.graph, self._opset)
        return self._types

    def dtype(self, name: str) -> str:
        """ "" if nobody knows."""
        value = self.types.get(name)
        return value.dtype if value is not None else ""

    def sizes(self, name: str) -> tuple[int | None, ...] | None:
        """The shape, without the names of sizes; None where the rank is unknown."""
        value = self.types.get(name)
        if value is None or value.shape is None:
            return None
        return tuple(size if isinstance(size, int) else None for size in value.shape)

    def constant(self, values: Any, near: str, dtype: Any = np.int64) -> str:
        """The name of a new constant, made from that of what it belongs to."""
        name = self.fresh(near)
        self.constants[name] = np.array(values, dtype)
        return name

    def fresh(self, near: str) -> str:
        """A name that no value has."""
        count = 1
        while (name := f"{near}.{count}") in self._taken:
            count += 1
        self._taken.add(name)
        return name

    def result(self, change: Change) -> Graph:
        """The graph with every node replaced by what `change` makes of it, innermost first."""
        changed = _changed(self.graph, change)
        return replace(changed, constants=self.constants)


def names(graph: Graph) -> set[str]:
    """Of all values, with those of graphs inside nodes."""
    found = set(graph.constants) | {value.name for value in graph.inputs}
    for node in graph.nodes:
        found |= set(node.outputs)
        for inner in node.graphs:
            found |= names(inner)
    return found


def _changed(graph: Graph, change: Change) -> Graph:
    nodes = [new for node in graph.nodes for new in change(_inside_changed(node, change))]
    return replace(graph, nodes=tuple(nodes))


def _inside_changed(node: Node, change: Change) -> Node:
    attributes = {
        key: _changed(value, change) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    return replace(node, attributes=attributes)
