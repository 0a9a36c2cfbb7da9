"""Resize, of images that are channels last."""

import numpy as np

from edge.format.graph import Node

from ...host_ops.resize import Axis, Filter, axes_of, coordinates, nearest
from ..lowering import Lowering, handles
from ..units.resize import Resize, Taps
from .moving import blocks

FEWEST = 4  # channels: below that nearly all of a vector is padding


@handles("Resize")
def resize(self: Lowering, node: Node) -> bool:
    """By repeating pixels a whole number of times, or by linear interpolation."""
    axes = _axes(self, node)
    if axes is None or not axes[0].is_kept or not axes[3].is_kept:
        return False
    _, down, across, _ = axes
    if node.attributes.get("mode", "nearest") == "nearest":
        repeats = [_repeats(axis, node) for axis in (down, across)]
        return all(repeats) and blocks(self, node, (repeats[0], repeats[1]), (0, 0))
    if self.shape(node.inputs[0])[3] < FEWEST:
        return False
    source, out = self.at(node.inputs[0]), self.new(node)
    self.add(Resize(source, out, _taps(down, node), _taps(across, node)))
    return True


def _axes(self: Lowering, node: Node) -> list[Axis] | None:
    """All four, in order; None if the kernels cannot do what it asks for."""
    a, x = node.attributes, node.inputs[0]
    scales, sizes = (self.constant(name) if name else None for name in (*node.inputs, "", "")[2:4])
    kind = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    if not self.is_float(x) or len(self.shape(x)) != 4 or (scales is None and sizes is None):
        return None
    if kind[0] not in ("nearest", "linear") or kind[1] == "tf_crop_and_resize":
        return None
    if a.get("antialias") or a.get("exclude_outside"):
        return None
    where = [axis % 4 for axis in a.get("axes") or range(4)]
    policy = a.get("keep_aspect_ratio_policy", "stretch")
    found = axes_of(self.shape(x), where, scales, sizes, policy, None)
    by_place = dict(zip(where, found, strict=True))
    shape, wanted = self.shape(x), self.shape(node.outputs[0])
    every = [by_place.get(i, Axis(size, size, 1.0)) for i, size in enumerate(shape)]
    return every if tuple(axis.wanted for axis in every) == wanted else None


def _mode(node: Node) -> str:
    return str(node.attributes.get("coordinate_transformation_mode", "half_pixel"))


def _repeats(axis: Axis, node: Node) -> int:
    """How often each place is repeated; 0 if that is not all."""
    times = axis.wanted // axis.size
    rounding = str(node.attributes.get("nearest_mode", "round_prefer_floor"))
    places = nearest(coordinates(axis, _mode(node)), rounding).clip(0, axis.size - 1)
    same = np.array_equal(places, np.arange(axis.wanted) // max(times, 1))
    return times if same and times * axis.size == axis.wanted else 0


def _taps(axis: Axis, node: Node) -> Taps:
    at = np.arange(axis.size, dtype=np.float64)
    if not axis.is_kept:
        at = coordinates(axis, _mode(node))
    places, weights = Filter("linear", 0.0, False, False).weights(at, axis)
    return places.clip(0, axis.size - 1), weights.astype(np.float32)
