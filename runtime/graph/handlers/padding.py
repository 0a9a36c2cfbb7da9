"""Pads that repeat what is there."""

from edge.format.graph import Node

from ..lowering import Lowering, handles
from ..storage import Place
from .moving import Step, move_all


@handles("Pad")
def pad(self: Lowering, node: Node) -> bool:
    """Along one axis, by its elements in reverse or by its ends."""
    x, mode = node.inputs[0], node.attributes.get("mode", "constant")
    widths = self.constant(node.inputs[1])
    axes = self.constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else None
    if not self.is_float(x) or mode not in ("reflect", "edge") or widths is None:
        return False
    rank = len(self.shape(x))
    numbers = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    if widths.size != 2 * len(numbers) or widths.dtype.kind != "i":
        return False
    pairs = zip(numbers, widths.reshape(2, -1).T.tolist(), strict=True)
    padded = {axis: (before, after) for axis, (before, after) in pairs if before or after}
    if len(padded) != 1:
        return False
    ((axis, (before, after)),) = padded.items()
    most = self.shape(x)[axis] - 1 if mode == "reflect" else max(before, after)
    if not 0 <= min(before, after) <= max(before, after) <= most:
        return False
    return move_all(self, node, _steps(self, node, axis, before, after))


def _steps(self: Lowering, node: Node, axis: int, before: int, after: int) -> list[Step]:
    """In the order of the axis: whoever writes the end of a row last clears what is behind it."""
    source, shape = self.at(node.inputs[0]), self.shape(node.inputs[0])
    step, size = source.steps(), shape[axis]
    to = Place(source.buffer, self.shape(node.outputs[0])).steps()[axis]
    turned = -step[axis] if node.attributes["mode"] == "reflect" else 0
    first, last = (before * -turned, (size - 1) * step[axis] + turned)
    parts = [
        (before, first, turned, 0),
        (size, 0, step[axis], before * to),
        (after, last, turned, (before + size) * to),
    ]
    return [
        (
            source,
            (*shape[:axis], count, *shape[axis + 1 :]),
            begin,
            (*step[:axis], along, *step[axis + 1 :]),
            at,
        )
        for count, begin, along, at in parts
        if count
    ]
