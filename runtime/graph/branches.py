"""Branches that shapes decide: they run as part of the graph around them."""

from collections import Counter

from edge.format.graph import Graph, Node

from .facts import Facts

BRANCHES = ("else_branch", "then_branch")  # by the condition


class Branches:
    """Of one graph.  Branches whose values have names of others stay graphs of their own."""

    def __init__(self, graph: Graph):
        counts: Counter[str] = Counter(value.name for value in graph.inputs)
        for node in graph.walk():
            counts.update(set(filter(None, node.outputs)))
            counts.update(v.name for inner in node.graphs for v in inner.inputs)
        self._shared = {name for name, count in counts.items() if count > 1}

    def taken(self, node: Node, facts: Facts) -> list[Node] | None:
        """What stands for an If whose condition is known; None of another node."""
        found = facts.get(node.inputs[0]) if node.op == "If" and node.inputs else None
        if found is None or found.value is None or found.value.size != 1:
            return None
        branch = node.attributes.get(BRANCHES[bool(found.value.item())])
        if not isinstance(branch, Graph) or branch.inputs or self._hides(branch):
            return None  # the operator itself says what is wrong with it
        if len(branch.outputs) < len(node.outputs):
            return None
        pairs = zip(branch.outputs, node.outputs, strict=False)
        return [*branch.nodes, *(Node("Identity", (v.name,), (n,)) for v, n in pairs if n)]

    def _hides(self, branch: Graph) -> bool:
        return any(not self._shared.isdisjoint(node.outputs) for node in branch.walk())
