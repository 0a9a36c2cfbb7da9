"""Softmax and its like, which before opset 13 made a matrix of their input: rows are what lies
before an axis, columns what lies from it on."""

from dataclasses import replace

from edge.format.graph import Node

from ..rewriting import Rewriting
from .registry import upgrades


@upgrades("Softmax", "LogSoftmax", "Hardmax", before=13)
def softmax(node: Node, at: Rewriting) -> list[Node]:
    axis = node.attributes.get("axis", 1)
    sizes = at.sizes(node.inputs[0])
    if axis == -1 or (sizes is not None and _is_last(axis, sizes)):
        return [replace(node, attributes={"axis": -1})]
    return _by_matrix(node, at, axis)


def _is_last(axis: int, sizes: tuple[int | None, ...]) -> bool:
    """Whether no axis is behind it."""
    return axis % max(len(sizes), 1) == len(sizes) - 1


def _by_matrix(node: Node, at: Rewriting, axis: int) -> list[Node]:
    x, y = node.inputs[0], node.outputs[0]
    shape, matrix, result = (at.fresh(f"{y}.{part}") for part in ("shape", "matrix", "result"))
    return [
        Node("Shape", (x,), (shape,)),
        Node("Flatten", (x,), (matrix,), {"axis": axis}),
        replace(node, inputs=(matrix,), outputs=(result,), attributes={"axis": -1}),
        Node("Reshape", (result, shape), (y,)),
    ]
