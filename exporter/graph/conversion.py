"""ONNX's protobuf messages -> Graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from edge.errors import SourceError, UnsupportedModel
from edge.format.graph import Attribute, Graph, Node, Value
from edge.format.graph_json import MAX_NAME

from .constants import Arrays
from .order import defined
from .types import ATTRIBUTES, name_of, spelled, value_of

OWN = ("", "ai.onnx")  # names of ONNX's own domain


class Conversion:
    """Of a model without functions; `constants` are of its main graph.

    Every value gets a name of its own, also those of graphs inside nodes.
    """

    def __init__(self, model: ModelProto, arrays: Arrays, constants: Mapping[str, np.ndarray]):
        self._model, self._arrays, self._where = model, arrays, arrays.where
        self._given = constants
        self._constants: dict[str, np.ndarray] = {}
        self._taken: set[str] = set()

    def main(self) -> Graph:
        graph = self._model.graph
        names = self._named(graph)
        self._constants |= {names[name]: array for name, array in self._given.items()}
        found = self._graph(graph, names)
        metadata = {p.key: p.value for p in self._model.metadata_props}
        return Graph(found.inputs, found.outputs, found.nodes, self._constants, metadata)

    def _named(self, graph: GraphProto) -> dict[str, str]:
        """Names of the values that come to be in a graph, by what they are called in the file."""
        return {name: self._fresh(name) for name in dict.fromkeys(defined(graph))}

    def _fresh(self, name: str) -> str:
        """A name that no other value has."""
        count, found = 1, name[:MAX_NAME]
        while found in self._taken:
            count += 1
            found = f"{name[: MAX_NAME - 10]}_{count}"
        self._taken.add(found)
        return found

    def _graph(self, graph: GraphProto, names: Mapping[str, str]) -> Graph:
        """`names` are the values that it sees."""
        self._add_constants(graph, names)
        inputs = [v for v in graph.input if names[v.name] not in self._constants]
        return Graph(
            tuple(self._value(v, names) for v in inputs),
            tuple(self._value(v, names) for v in graph.output),
            tuple(self._node(node, names) for node in graph.node if not is_constant(node)),
        )

    def _add_constants(self, graph: GraphProto, names: Mapping[str, str]) -> None:
        for tensor in graph.initializer:
            self._constants.setdefault(names[tensor.name], self._arrays.of(tensor))
        for sparse in graph.sparse_initializer:
            array = self._arrays.dense(sparse, f"sparse tensor {sparse.values.name!r:.80}")
            self._constants[names[sparse.values.name]] = array
        for node in filter(is_constant, graph.node):
            self._constants.setdefault(names[node.output[0]], self._arrays.constant(node))

    def _value(self, info: onnx.ValueInfoProto, names: Mapping[str, str]) -> Value:
        return value_of(names[info.name], info.type, f"{self._where}: {info.name!r:.80}")

    def _node(self, node: NodeProto, names: Mapping[str, str]) -> Node:
        op = node.op_type if node.domain in OWN else f"{node.domain}.{node.op_type}"
        where = f"{self._where}: {op} {node.name!r:.80}"
        attributes = {
            a.name: self._attribute(a, names, where) for a in node.attribute if not _is_no_type(a)
        }
        inputs, outputs = (
            tuple(names[name] if name else "" for name in part)
            for part in (node.input, node.output)
        )
        return Node(op, inputs, outputs, attributes, node.name)

    def _attribute(self, a: AttributeProto, names: Mapping[str, str], where: str) -> Attribute:
        if a.type == AttributeProto.GRAPH:
            return self._graph(a.g, {**names, **self._named(a.g)})
        if a.type == AttributeProto.TENSOR:
            return self._arrays.of(a.t)
        if a.type == AttributeProto.SPARSE_TENSOR:
            return self._arrays.dense(a.sparse_tensor, a.name)
        if a.type == AttributeProto.TYPE_PROTO:
            return spelled(a.tp, where)
        if a.type == AttributeProto.INT and a.name in ATTRIBUTES:
            return name_of(a.i, where)
        return _plain(a, where)


def _plain(a: AttributeProto, where: str) -> Attribute:
    value: Any = onnx.helper.get_attribute_value(a)
    if a.type == AttributeProto.STRING:
        return _text(value, a, where)
    if a.type == AttributeProto.STRINGS:
        return tuple(_text(text, a, where) for text in value)
    if a.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(value)
    if a.type in (AttributeProto.INT, AttributeProto.FLOAT):
        return value
    raise UnsupportedModel(f"{where}: attribute {a.name!r:.80} of a kind edge does not have")


def _text(raw: bytes, a: AttributeProto, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise SourceError(f"{where}: attribute {a.name!r:.80} is not UTF-8") from None


def is_constant(node: NodeProto) -> bool:
    return bool(node.op_type == "Constant" and node.domain in OWN and any(node.output))


def _is_no_type(a: AttributeProto) -> bool:
    """A type of 0: as good as no attribute."""
    return bool(a.type == AttributeProto.INT and a.name in ATTRIBUTES and a.i == 0)
