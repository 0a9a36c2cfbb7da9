"""Common subexpressions: what two nodes compute alike is computed once."""

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from edge.format.graph import Graph, Node

from .identities import renamed

RANDOM = {
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    *("Multinomial", "Bernoulli", "Dropout"),
}
SMALL = 4096  # bytes of constants that are compared


def without_repeats(graph: Graph) -> Graph:
    """Of the main graph; what lies in branches may never run."""
    instead = _equal_constants(graph)
    graph, instead = renamed(graph, instead), {}
    outputs = {value.name for value in graph.outputs}
    first: dict[Hashable, Node] = {}
    kept = []
    for node in graph.nodes:
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        key = _key(node, inputs)
        same = first.setdefault(key, node) if key is not None else node
        if same is node or not outputs.isdisjoint(node.outputs):
            kept.append(node)
        else:
            pairs = zip(node.outputs, same.outputs, strict=True)
            instead |= {name: other for name, other in pairs if name}
    return renamed(replace(graph, nodes=tuple(kept)), instead)


def _key(node: Node, inputs: tuple[str, ...]) -> Hashable:
    """What two nodes that give the same have in common; None for one that is unlike any other."""
    if node.op in RANDOM or any(node.graphs):
        return None
    present = tuple(bool(name) for name in node.outputs)
    attributes = tuple((k, _value(v)) for k, v in sorted(node.attributes.items()))
    return node.op, inputs, present, attributes


def _value(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, repr(value.tolist())
    return type(value).__name__, value


def _equal_constants(graph: Graph) -> dict[str, str]:
    """Small constants by the first that is equal to them."""
    outputs = {value.name for value in graph.outputs}
    first: dict[Hashable, str] = {}
    instead = {}
    for name, array in graph.constants.items():
        if array.nbytes <= SMALL and array.dtype != object and name not in outputs:
            same = first.setdefault((str(array.dtype), array.shape, array.tobytes()), name)
            if same != name:
                instead[name] = same
    return instead
