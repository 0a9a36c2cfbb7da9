"""An .onnx file -> Graph, as its authors wrote it, all constants in the main graph."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from edge.errors import SourceError, UnsupportedModel
from edge.format.graph import Attribute, Graph, Node, Value

from . import constants
from .constants import array_of
from .model import GraphModel
from .types import ATTRIBUTES, name_of, spelled, value_of

OWN = ("", "ai.onnx")  # names of ONNX's own domain


def read(path: Path) -> GraphModel:
    """Raises SourceError if the file is broken, UnsupportedModel for what edge does not have."""
    model = _parsed(path)
    opset = max((o.version for o in model.opset_import if o.domain in OWN), default=1)
    graph = _Reader(model.graph, str(path)).main(model)
    return GraphModel(graph, opset=opset, name=model.graph.name or path.stem)


def _parsed(path: Path) -> ModelProto:
    try:
        model: ModelProto = onnx.load(path, load_external_data=True)
    except DecodeError:
        raise SourceError(f"{path}: not an ONNX file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
    return model


@dataclass
class _Reader:
    """Gives every value of the model a name of its own, also those of graphs inside nodes."""

    main_graph: GraphProto
    where: str
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def main(self, model: ModelProto) -> Graph:
        self.taken |= set(_defined(self.main_graph))
        names = {name: name for name in self.taken}
        graph = self.graph(self.main_graph, names)
        metadata = {p.key: p.value for p in model.metadata_props}
        return Graph(graph.inputs, graph.outputs, graph.nodes, self.constants, metadata)

    def graph(self, graph: GraphProto, names: Mapping[str, str]) -> Graph:
        """`names` are the values that it sees, by what they are called in the file."""
        for tensor in graph.initializer:
            self.constants[names[tensor.name]] = array_of(tensor, self.where)
        for node in filter(_is_constant, graph.node):
            found = constants.of_node(node, f"{self.where}: Constant {node.name!r}")
            self.constants[names[node.output[0]]] = found
        inputs = [v for v in graph.input if names[v.name] not in self.constants]
        return Graph(
            tuple(self.value(v, names) for v in inputs),
            tuple(self.value(v, names) for v in graph.output),
            tuple(self.node(node, names) for node in graph.node if not _is_constant(node)),
        )

    def value(self, info: onnx.ValueInfoProto, names: Mapping[str, str]) -> Value:
        return value_of(names[info.name], info.type, f"{self.where}: {info.name!r}")

    def node(self, node: NodeProto, names: Mapping[str, str]) -> Node:
        domain = node.domain if node.domain not in OWN else ""
        op = f"{domain}.{node.op_type}" if domain else node.op_type
        where = f"{self.where}: {op} {node.name!r}"
        return Node(
            op,
            tuple(names[name] if name else "" for name in node.input),
            tuple(names[name] if name else "" for name in node.output),
            {a.name: self.attribute(a, names, where) for a in node.attribute if not _is_no_type(a)},
            node.name,
        )

    def attribute(self, a: AttributeProto, names: Mapping[str, str], where: str) -> Attribute:
        if a.type == AttributeProto.GRAPH:
            inside = {name: self.fresh(name) for name in _defined(a.g)}
            return self.graph(a.g, {**names, **inside})
        if a.type == AttributeProto.TENSOR:
            return array_of(a.t, where)
        if a.type == AttributeProto.TYPE_PROTO:
            return spelled(a.tp, where)
        value: Any = onnx.helper.get_attribute_value(a)
        if a.type == AttributeProto.INT and a.name in ATTRIBUTES:
            return name_of(value, where)
        if a.type == AttributeProto.STRING:
            return value.decode()
        if a.type == AttributeProto.STRINGS:
            return tuple(text.decode() for text in value)
        if a.type in (AttributeProto.INTS, AttributeProto.FLOATS):
            return tuple(value)
        if a.type in (AttributeProto.INT, AttributeProto.FLOAT):
            return value
        raise UnsupportedModel(f"{where}: attribute {a.name!r} of a kind edge does not have")

    def fresh(self, name: str) -> str:
        """A name that no other value has."""
        count, found = 1, name
        while found in self.taken:
            count += 1
            found = f"{name}_{count}"
        self.taken.add(found)
        return found


def _is_constant(node: NodeProto) -> bool:
    return bool(node.op_type == "Constant" and node.domain in OWN)


def _is_no_type(a: AttributeProto) -> bool:
    """A type of 0: as good as no attribute."""
    return bool(a.type == AttributeProto.INT and a.name in ATTRIBUTES and a.i == 0)


def _defined(graph: GraphProto) -> Iterator[str]:
    """Names that come to be in a graph, without those of graphs inside it."""
    parts: tuple[Iterable[Any], ...] = (graph.input, graph.initializer)
    yield from (value.name for part in parts for value in part)
    yield from (name for node in graph.node for name in node.output if name)
