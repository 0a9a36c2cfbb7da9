"""If whose condition is a constant: the branch that is taken, in its place."""

import numpy as np

from edge.format.graph import Graph, Node

from ..rewriting import Rewriting


def without_known_branches(graph: Graph) -> Graph:
    at = Rewriting(graph)

    def change(node: Node) -> list[Node]:
        condition = at.constants.get(node.inputs[0]) if node.op == "If" else None
        if condition is None or condition.size != 1:
            return [node]
        branch = node.attributes["then_branch" if np.all(condition) else "else_branch"]
        results = zip(branch.outputs, node.outputs, strict=True)
        copies = (Node("Identity", (v.name,), (name,)) for v, name in results if name)
        return [*branch.nodes, *copies]

    return at.result(change)
