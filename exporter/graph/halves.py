"""Graphs whose values are float16, computed in float32: what they read and give stays float16.

Few small cores multiply float16, and NumPy does so slowly; sums in float32 are nearer to what the
model was trained with.  Weights stay what they are: recipes that keep them store float16 again.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from edge.format.graph import Graph, Node, Value

from .model import GraphModel
from .rewriting import Rewriting
from .simplify.identities import renamed
from .types import ATTRIBUTES

HALF, SINGLE = "float16", "float32"
OF_BITS = {"BitCast"}  # what a value's bits are matters to these


def in_single(model: GraphModel) -> GraphModel:
    """The model in float32, if anything in it is float16."""
    graph = model.graph
    outside = {value.dtype for value in (*graph.inputs, *graph.outputs)}
    is_fixed = any(node.op in OF_BITS for node in graph.walk())
    if is_fixed or not _has_halves(graph) or any("(" in t and HALF in t for t in outside):
        return model
    return replace(model, graph=_cast_outside(_widened(graph), graph))


def _has_halves(graph: Graph) -> bool:
    values = (*graph.inputs, *graph.outputs)
    return (
        any(value.dtype == HALF for value in values)
        or any(array.dtype == np.float16 for array in graph.constants.values())
        or any(
            _is_half(key, value) for node in graph.nodes for key, value in node.attributes.items()
        )
        or any(_has_halves(inner) for node in graph.nodes for inner in node.graphs)
    )


def _is_half(key: str, value: object) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.dtype == np.float16)
    return key in ATTRIBUTES and value == HALF


def _widened(graph: Graph) -> Graph:
    return replace(
        graph,
        inputs=tuple(map(_value, graph.inputs)),
        outputs=tuple(map(_value, graph.outputs)),
        constants={name: _array(array) for name, array in graph.constants.items()},
        nodes=tuple(_node(node) for node in graph.nodes),
    )


def _value(value: Value) -> Value:
    return replace(value, dtype=re.sub(rf"\b{HALF}\b", SINGLE, value.dtype))


def _array(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _node(node: Node) -> Node:
    return replace(node, attributes={k: _attribute(k, v) for k, v in node.attributes.items()})


def _attribute(key: str, value: object) -> object:
    if isinstance(value, Graph):
        return _widened(value)
    if isinstance(value, np.ndarray):
        return _array(value)
    return SINGLE if _is_half(key, value) else value


def _cast_outside(graph: Graph, before: Graph) -> Graph:
    """With the inputs and outputs that `before` has, and casts to and from them."""
    at = Rewriting(graph)
    given = {v.name: at.fresh(v.name) for v in before.inputs if v.dtype == HALF}
    asked = {v.name for v in before.outputs if v.dtype == HALF} - given.keys()
    made = {name: at.fresh(name) for name in asked}
    inner = renamed(graph, given | made)
    nodes = [
        *_casts(given.items(), SINGLE),
        *(_making(node, made) for node in inner.nodes),
        *_casts(((own, name) for name, own in made.items()), HALF),
    ]
    constants = {made.get(name, name): array for name, array in graph.constants.items()}
    return replace(
        graph, inputs=before.inputs, outputs=before.outputs, nodes=tuple(nodes), constants=constants
    )


def _casts(pairs: Iterable[tuple[str, str]], to: str) -> Iterator[Node]:
    for x, y in pairs:
        yield Node("Cast", (x,), (y,), {"to": to})


def _making(node: Node, made: dict[str, str]) -> Node:
    return replace(node, outputs=tuple(made.get(name, name) for name in node.outputs))
