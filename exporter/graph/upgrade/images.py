"""Upsample, Resize, and where they sample."""

from dataclasses import replace
from typing import Any

from edge.format.graph import Node

from ..rewriting import Rewriting
from .registry import refused, upgrades, without

# Of Upsample, and of Resize before opset 11: pixels are points, the nearest is the one before.
AS_POINTS = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}


@upgrades("Upsample", before=10)
def upsample(node: Node, at: Rewriting) -> list[Node]:
    attributes = without(node, "scales") | AS_POINTS
    if "scales" in node.attributes:  # before opset 9
        scales = at.constant(node.attributes["scales"], f"{node.outputs[0]}.scales", "float32")
    else:
        scales = node.inputs[1]
    inputs = (node.inputs[0], "", scales)
    return [replace(node, op="Resize", inputs=inputs, attributes=attributes)]


@upgrades("Resize", before=11)
def resize_by_points(node: Node, at: Rewriting) -> list[Node]:
    x, scales = node.inputs
    return [replace(node, inputs=(x, "", scales), attributes=dict(node.attributes) | AS_POINTS)]


@upgrades("Resize", before=19)
def resize(node: Node, at: Rewriting) -> list[Node]:
    """An input that is there but empty is one that is not there."""
    if node.attributes.get("coordinate_transformation_mode") == "tf_half_pixel_for_nn":
        raise refused(node, "coordinates 'tf_half_pixel_for_nn', which ONNX has no longer")
    inputs = tuple("" if _is_empty(name, at) else name for name in node.inputs)
    return [replace(node, inputs=inputs)]


def _is_empty(name: str, at: Rewriting) -> bool:
    return name in at.constants and at.constants[name].size == 0


@upgrades("GridSample", before=20)
def grid_sample(node: Node, at: Rewriting) -> list[Node]:
    mode = node.attributes.get("mode", "bilinear")
    attributes: dict[str, Any] = dict(node.attributes) | {"mode": GRID_MODES.get(mode, mode)}
    return [replace(node, attributes=attributes)]


@upgrades("RoiAlign", before=16)
def roi_align(node: Node, at: Rewriting) -> list[Node]:
    mode = {"coordinate_transformation_mode": "output_half_pixel"}
    return [replace(node, attributes=dict(node.attributes) | mode)]
