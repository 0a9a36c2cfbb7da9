"""Constants that a file has in few bits, as the numbers that operators read."""

from dataclasses import replace

import numpy as np

from edge.format.graph import Graph

from .interpreter import call

WIDEN = ("DequantizeLinear", "Cast")


def widened(graph: Graph) -> Graph:
    """With these operators done once for all where they read constants alone.

    Raises InputError for constants that do not fit together.
    """
    constants, nodes = dict(graph.constants), []
    for node in graph.nodes:
        if node.op not in WIDEN or any(n and n not in graph.constants for n in node.inputs):
            nodes.append(node)
            continue
        (value,) = call(node, [constants[n] if n else None for n in node.inputs], constants)
        constants[node.outputs[0]] = np.ascontiguousarray(value)
    if len(nodes) == len(graph.nodes):
        return graph
    return replace(graph, nodes=tuple(nodes), constants=constants)
