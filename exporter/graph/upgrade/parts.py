"""Several nodes in the place of one."""

from typing import Any

from edge.format.element_types import held_as
from edge.format.graph import Node

from ..rewriting import Rewriting
from .registry import refused


class Parts:
    """What a node is taken apart into; the last part has its outputs."""

    def __init__(self, node: Node, at: Rewriting):
        self.node, self.at = node, at
        self._nodes: list[Node] = []

    def input(self, i: int) -> str:
        """ "" if it is not there."""
        return self.node.inputs[i] if i < len(self.node.inputs) else ""

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """The name of what a part makes."""
        name = output or self.at.fresh(f"{self.node.outputs[0]}.{op}")
        self._nodes.append(Node(op, inputs, (name,), attributes))
        return name

    def several(self, op: str, *inputs: str, count: int, **attributes: Any) -> tuple[str, ...]:
        """Names of the outputs of a part that has `count`."""
        names = tuple(self.at.fresh(f"{self.node.outputs[0]}.{op}") for _ in range(count))
        self._nodes.append(Node(op, inputs, names, attributes))
        return names

    def ending(
        self, op: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any
    ) -> list[Node]:
        """All parts, this one the last; it has the node's first output, or these."""
        last = Node(op, inputs, outputs or self.node.outputs[:1], attributes, self.node.name)
        return [*self._nodes, last]

    def number(self, value: float, like: str) -> str:
        """A constant of the type of a value."""
        dtype = held_as(self.at.dtype(like) or "float32")
        return self.at.constant(value, f"{self.node.outputs[0]}.number", dtype)

    def whole(self, *values: int) -> str:
        """A constant of int64, of one axis."""
        return self.at.constant(values, f"{self.node.outputs[0]}.whole")

    def rank(self, name: str) -> int:
        sizes = self.at.sizes(name)
        if sizes is None:
            raise refused(self.node, f"{name!r:.60} of unknown rank")
        return len(sizes)

    def turned(self, name: str) -> str:
        """With the last two axes exchanged."""
        rank = self.rank(name)
        return self.add("Transpose", name, perm=(*range(rank - 2), rank - 1, rank - 2))
