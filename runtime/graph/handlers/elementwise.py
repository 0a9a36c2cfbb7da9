"""Elementwise operators, and those that the convolution before does on the way."""

from edge.format.graph import Node

from ..expressions import EXPRESSIONS, constant_of
from ..lowering import Lowering, handles
from ..units.chain import Instruction, Operand
from ..units.convolution import LARGEST, Convolution
from ..units.window import Window


@handles(*EXPRESSIONS)
def elementwise(self: Lowering, node: Node) -> bool:
    if not self.is_float(*filter(None, node.inputs)):
        return False
    root = self.express(node)
    if root is None:
        return False
    if not _joined(self, node, root):
        for name in filter(None, node.inputs):  # what it has taken into itself
            self.lazy.pop(name, None)
        self.lazy[node.outputs[0]] = root
    return True


def _joined(self: Lowering, node: Node, root: Instruction) -> bool:
    """Whether the convolution before can do it on the way: a clamp, or an addition."""
    operands = [one for one in root.inputs if isinstance(one, Operand)]
    if len(operands) != len(root.inputs):
        return False
    if root.op == "add":
        return any(
            _added(self, node, a, b) for a, b in ((node.inputs), tuple(reversed(node.inputs)))
        )
    bounds = _bounds(root)
    unit = self.maker(node.inputs[0])
    if bounds is None or not self.is_alone(node.inputs[0]):
        return False
    if not isinstance(unit, Convolution | Window) or getattr(unit, "kind", "depthwise") != (
        "depthwise"
    ):
        return False
    if (unit.low, unit.high) != (-LARGEST, LARGEST) or not bounds[0] <= 0 <= bounds[1]:
        return False
    unit.low, unit.high = bounds
    self.places[node.outputs[0]] = self.places[node.inputs[0]]
    return True


def _bounds(root: Instruction) -> tuple[float, float] | None:
    if root.op == "relu":
        return 0.0, LARGEST
    if root.op != "clamp":
        return None
    low, high = (constant_of(one) for one in root.inputs[1:])
    return None if low is None or high is None else (low, high)


def _added(self: Lowering, node: Node, name: str, other: str) -> bool:
    unit = self.maker(name)
    if not isinstance(unit, Convolution) or not self.is_alone(name) or name == other:
        return False
    if unit.residual is not None or unit.high != LARGEST or unit.low != -LARGEST:
        return False
    if self.constant(other) is not None or self.shape(other) != self.shape(node.outputs[0]):
        return False
    if self.shape(name) != self.shape(other) or unit.out.buffer is self.at(other).buffer:
        return False
    unit.residual = self.at(other)
    self.postpone(unit)
    self.places[node.outputs[0]] = self.places[name]
    return True
