"""Dead code: nodes and constants whose values nobody reads."""

from collections.abc import Iterable
from dataclasses import replace

from edge.format.graph import Graph, Node


def without_dead(graph: Graph) -> Graph:
    graph = _live(graph)
    read = set(_read(graph))
    constants = {name: array for name, array in graph.constants.items() if name in read}
    return replace(graph, constants=constants)


def _live(graph: Graph) -> Graph:
    """Without nodes that no output depends on."""
    wanted, kept = {value.name for value in graph.outputs}, []
    for node in reversed(graph.nodes):
        if wanted.isdisjoint(filter(None, node.outputs)):
            continue
        node = _live_inside(node)
        wanted.update(node.inputs)
        wanted.update(name for inner in node.graphs for name in inner.captured)
        kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))


def _live_inside(node: Node) -> Node:
    attributes = {
        key: _live(value) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    return replace(node, attributes=attributes)


def _read(graph: Graph) -> Iterable[str]:
    yield from (value.name for value in graph.outputs)
    for node in graph.nodes:
        yield from node.inputs
        for inner in node.graphs:
            yield from _read(inner)
