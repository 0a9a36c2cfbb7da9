"""Nodes that give back what they get."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edge.format.graph import Graph, Node

from ..rewriting import Rewriting


def without_identities(graph: Graph) -> Graph:
    """Readers of a copy read the original.  What a graph gives out keeps its name: where a node
    made the original, it makes the output.
    """
    at = Rewriting(graph)
    outputs = {value.name for value in graph.outputs}
    instead: dict[str, str] = {}

    def change(node: Node) -> list[Node]:
        if not _is_copy(node, at) or node.outputs[0] in outputs:
            return [node]
        instead[node.outputs[0]] = node.inputs[0]
        return []

    return _made_directly(renamed(at.result(change), instead))


def _is_copy(node: Node, at: Rewriting) -> bool:
    if not any(node.inputs) or any(node.outputs[1:]):
        return False
    if node.op == "Dropout":  # of inference
        training = node.inputs[2] if len(node.inputs) > 2 else ""
        return not training or (training in at.constants and not np.any(at.constants[training]))
    if node.op == "Cast":
        return bool(at.dtype(node.inputs[0]) == node.attributes["to"])
    return node.op == "Identity"


def renamed(graph: Graph, instead: Mapping[str, str]) -> Graph:
    """The graph with `instead` of values read by other names, also in graphs inside nodes."""
    if not instead:
        return graph
    nodes = tuple(_reading(node, instead) for node in graph.nodes)
    outputs = tuple(replace(v, name=_origin(v.name, instead)) for v in graph.outputs)
    return replace(graph, nodes=nodes, outputs=outputs)


def _reading(node: Node, instead: Mapping[str, str]) -> Node:
    attributes = {
        key: renamed(value, instead) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    inputs = tuple(_origin(name, instead) for name in node.inputs)
    return replace(node, inputs=inputs, attributes=attributes)


def _origin(name: str, instead: Mapping[str, str]) -> str:
    while name in instead:
        name = instead[name]
    return name


def _made_directly(graph: Graph) -> Graph:
    """Outputs of the model by the nodes that make what they are copies of."""
    outputs = {value.name for value in graph.outputs}
    made = {name for node in graph.nodes for name in node.outputs}
    new = {
        node.inputs[0]: node.outputs[0]
        for node in graph.nodes
        if node.op == "Identity" and node.outputs[0] in outputs and node.inputs[0] in made - outputs
    }
    if not new:
        return graph
    kept = tuple(node for node in graph.nodes if not _is_made(node, new))
    readers = renamed(replace(graph, nodes=kept, outputs=()), new)
    nodes = tuple(
        replace(node, outputs=tuple(new.get(name, name) for name in node.outputs))
        for node in readers.nodes
    )
    return replace(graph, nodes=nodes)


def _is_made(node: Node, new: Mapping[str, str]) -> bool:
    return node.op == "Identity" and new.get(node.inputs[0]) == node.outputs[0]
