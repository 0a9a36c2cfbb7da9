"""A graph while it is rewritten: nodes that come and go, constants that are made."""

from collections.abc import Callable

import numpy as np

from edge.format.graph import Graph, Node

from ..grid import Grid

Rule = Callable[[Node], list[Node] | None]  # what takes a node's place, or None


class Draft:
    """The main graph of a model; graphs inside nodes stay, and keep what they read alive.

    grids  by name, of constants that were dequantized
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes = list(graph.nodes)
        self.constants = dict(graph.constants)
        self.grids: dict[str, Grid] = {}
        self.changed = False
        self._taken = {v.name for v in graph.inputs} | set(graph.constants)
        self._taken |= {name for node in graph.walk() for name in (*node.inputs, *node.outputs)}
        inner = (name for node in graph.nodes for g in node.graphs for name in g.captured)
        self._kept = {value.name for value in graph.outputs} | set(inner)
        self._makers = {name: node for node in self.nodes for name in node.outputs}

    def rewrite(self, rule: Rule) -> bool:
        """Replace each node by what the rule gives; whether it gave anything."""
        before, self.nodes, found = self.nodes, [], False
        for node in before:
            new = rule(node)
            found |= new is not None
            self.nodes += [node] if new is None else new
            for made in new or ():
                self._makers.update(dict.fromkeys(made.outputs, made))
        self.changed |= found
        return found

    def maker(self, name: str) -> Node | None:
        """The node that makes a value; None of inputs and constants."""
        return self._makers.get(name)

    def is_kept(self, node: Node) -> bool:
        """Whether what it makes is needed by that name: an output, or read in a graph inside."""
        return not self._kept.isdisjoint(node.outputs)

    def constant(self, name: str) -> np.ndarray | None:
        return self.constants.get(name)

    def fresh(self, base: str) -> str:
        """A name that no value has, `base` if it can be."""
        name, count = base, 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def add_constant(self, array: np.ndarray, base: str) -> str:
        name = self.fresh(base)
        self.constants[name] = array
        return name

    def readers(self) -> dict[str, int]:
        """How many nodes, graphs inside nodes and outputs read each value."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            inner = [name for graph in node.graphs for name in graph.captured]
            for name in (*node.inputs, *inner):
                counts[name] = counts.get(name, 0) + 1
        for value in self.graph.outputs:
            counts[value.name] = counts.get(value.name, 0) + 1
        return counts

    def live_nodes(self) -> tuple[Node, ...]:
        """Those that outputs need; `nodes` become them."""
        needed, live = {value.name for value in self.graph.outputs}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                live.append(node)
                needed.update(node.inputs)
                needed.update(name for graph in node.graphs for name in graph.captured)
        self.nodes = live[::-1]
        return tuple(self.nodes)

    def live_constants(self) -> dict[str, np.ndarray]:
        readers = self.readers()
        return {name: array for name, array in self.constants.items() if name in readers}
