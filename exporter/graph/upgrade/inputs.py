"""Numbers that were attributes and are inputs now; operators that have another name."""

from dataclasses import replace

import numpy as np

from edge.format.element_types import held_as
from edge.format.graph import Node

from ..rewriting import Rewriting
from .registry import upgrades, without


@upgrades("Clip", before=11)
def clip(node: Node, at: Rewriting) -> list[Node]:
    """min and max, of the input's type."""
    dtype = held_as(at.dtype(node.inputs[0]) or "float32")
    bounds = [
        at.constant(node.attributes[key], f"{node.outputs[0]}.{key}", dtype)
        if key in node.attributes
        else ""
        for key in ("min", "max")
    ]
    return [replace(node, inputs=(*node.inputs, *bounds), attributes={})]


@upgrades("TopK", before=10)
def top_k(node: Node, at: Rewriting) -> list[Node]:
    k = at.constant([node.attributes["k"]], f"{node.outputs[0]}.k")
    return [replace(node, inputs=(*node.inputs, k), attributes=without(node, "k"))]


@upgrades("Split", before=13)
def split_sizes(node: Node, at: Rewriting) -> list[Node]:
    sizes = node.attributes.get("split")
    inputs = node.inputs
    if sizes:
        inputs += (at.constant(sizes, f"{node.outputs[0]}.sizes"),)
    return split_evenly(replace(node, inputs=inputs, attributes=without(node, "split")), at)


@upgrades("Split", before=18)
def split_evenly(node: Node, at: Rewriting) -> list[Node]:
    """Into how many parts: the number of outputs says it no longer."""
    if any(node.inputs[1:]):
        return [node]
    parts = {"num_outputs": len(node.outputs)}
    return [replace(node, attributes=dict(node.attributes) | parts)]


@upgrades("Scatter", before=11)
def scatter(node: Node, at: Rewriting) -> list[Node]:
    return [replace(node, op="ScatterElements")]


@upgrades("Dropout", before=12)
def dropout(node: Node, at: Rewriting) -> list[Node]:
    """Does nothing; its mask is true everywhere."""
    x = node.inputs[0]
    nodes = [replace(node, op="Identity", inputs=(x,), outputs=node.outputs[:1], attributes={})]
    if any(node.outputs[1:]):
        shape = at.fresh(f"{node.outputs[0]}.shape")
        true = np.array([True])
        nodes += [
            Node("Shape", (x,), (shape,)),
            Node("ConstantOfShape", (shape,), node.outputs[1:], {"value": true}),
        ]
    return nodes
