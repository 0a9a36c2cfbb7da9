"""Graph -> ONNX's ModelProto, without the numbers of its larger constants."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, defs, helper, numpy_helper

from edge.format.graph import Attribute, Graph, Node, Value

from .types import ATTRIBUTES, NUMBERS, type_of

NEWEST = 28  # opset of ONNX whose operators a stored graph has
SHAPES_MOST = 1024  # numbers of an array that may say a shape


def outline(graph: Graph, opset: int) -> ModelProto:
    """A model of the same values: constants that are no shapes are inputs of its graph."""
    known = {
        n: a for n, a in graph.constants.items() if a.dtype == np.int64 and a.size <= SHAPES_MOST
    }
    outer = [_declared(n, a) for n, a in graph.constants.items() if n not in known]
    proto = _graph(graph, "outline")
    proto.input.extend(outer)
    proto.initializer.extend(numpy_helper.from_array(a, n) for n, a in known.items())
    domains = {_parts(node.op)[0] for node in graph.walk()} - {""}
    imports = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid(d, 1) for d in sorted(domains)),
    ]
    return helper.make_model(proto, opset_imports=imports)


def supported_opset() -> int:
    """The newest that edge knows and the installed onnx, too."""
    return min(NEWEST, defs.onnx_opset_version())


def _graph(graph: Graph, name: str) -> GraphProto:
    proto = GraphProto(name=name)
    proto.input.extend(map(_info, graph.inputs))
    proto.output.extend(map(_info, graph.outputs))
    proto.node.extend(map(_node, graph.nodes))
    return proto


def _info(value: Value) -> ValueInfoProto:
    if not value.dtype:
        return ValueInfoProto(name=value.name)
    return helper.make_value_info(value.name, type_of(value.dtype, value.shape))


def _declared(name: str, array: np.ndarray) -> ValueInfoProto:
    dtype = "string" if array.dtype == object else str(array.dtype)
    return helper.make_tensor_value_info(name, NUMBERS[dtype], array.shape)


def _node(node: Node) -> NodeProto:
    domain, op = _parts(node.op)
    proto = NodeProto(op_type=op, domain=domain, name=node.name)
    proto.input.extend(node.inputs)
    proto.output.extend(node.outputs)
    proto.attribute.extend(_attributes(node))
    return proto


def _attributes(node: Node) -> Iterator[onnx.AttributeProto]:
    for name, value in node.attributes.items():
        if not (isinstance(value, tuple) and not value):  # an empty list has no type
            yield helper.make_attribute(name, _attribute(name, value))


def _attribute(name: str, value: Attribute) -> Attribute:
    if isinstance(value, Graph):
        return _graph(value, name)
    if isinstance(value, np.ndarray):
        return numpy_helper.from_array(value)
    if name in ATTRIBUTES and value in NUMBERS:
        return NUMBERS[value]
    return value


def _parts(op: str) -> tuple[str, str]:
    """Domain and name."""
    domain, _, name = op.rpartition(".")
    return domain, name
