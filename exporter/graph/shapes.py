"""Types and shapes of a graph's values, as far as ONNX's own inference knows them.

Without its propagation of data: that takes memory for every element of a large vector.
simplify/known_shapes.py does what graphs need of it.
"""

from collections.abc import Iterator

import onnx
from onnx import GraphProto, shape_inference

from edge.errors import EdgeError
from edge.format.graph import Graph, Value

from .onnx_model import outline, supported_opset
from .types import value_of


def inferred(graph: Graph, opset: int | None = None) -> dict[str, Value]:
    """By name, also of values in the graphs inside nodes.  `opset` is that of its operators, the
    newest if not given.
    """
    proto = outline(graph, opset or supported_opset())
    try:
        proto = shape_inference.infer_shapes(proto)
    except (onnx.shape_inference.InferenceError, RuntimeError):
        pass  # what is declared is known nevertheless
    return {value.name: value for value in _values(proto.graph)}


def _values(graph: GraphProto) -> Iterator[Value]:
    for info in (*graph.value_info, *graph.input, *graph.output):
        try:
            yield value_of(info.name, info.type, "")
        except EdgeError:  # a type that only the inference believes in
            continue
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _values(attribute.g)
