"""Batch and group normalization."""

from dataclasses import replace

from edge.format.graph import Node

from ..rewriting import Rewriting
from .registry import refused, upgrades, without


@upgrades("BatchNormalization", before=14)
def batch_normalization(node: Node, at: Rewriting) -> list[Node]:
    """Of inference: the statistics that training gave out are not computed."""
    if node.attributes.get("spatial", 1) != 1:
        raise refused(node, "statistics of each place (spatial=0), which ONNX has no longer")
    outputs = node.outputs[:1]
    return [replace(node, outputs=outputs, attributes=without(node, "spatial", "momentum"))]


@upgrades("GroupNormalization", before=21)
def group_normalization(node: Node, at: Rewriting) -> list[Node]:
    """Scale and bias are of channels; they were of groups."""
    sizes, groups = at.sizes(node.inputs[0]), node.attributes["num_groups"]
    channels = sizes[1] if sizes and len(sizes) > 1 else None
    if channels is None or channels % groups:
        raise refused(node, "channels of unknown number")
    more, inputs = [], [node.inputs[0]]
    for name in node.inputs[1:]:
        column, wide, flat = (at.fresh(name) for _ in range(3))
        last = at.constant([1], f"{name}.axis")
        shape = at.constant([groups, channels // groups], f"{name}.shape")
        more += [
            Node("Unsqueeze", (name, last), (column,)),
            Node("Expand", (column, shape), (wide,)),
            Node("Reshape", (wide, at.constant([-1], f"{name}.flat")), (flat,)),
        ]
        inputs.append(flat)
    return [*more, replace(node, inputs=tuple(inputs))]
