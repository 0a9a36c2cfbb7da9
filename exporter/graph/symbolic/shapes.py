"""Shapes and types of a graph's values, as far as they follow from its inputs' (rules.py, values.py, windows.py).

Axes whose size is only named stay named; small tensors of integers, which shapes are made of, are
followed element by element.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from edge.format.graph import Node, Value

from ..model import Matrix
from .dimensions import Dim, Shape, declared, unknown

MAX_ELEMENTS = 64  # of a tensor that is followed

Rule = Callable[["Shapes", Node], Sequence[Shape | None]]
RULES: dict[str, Rule] = {}
VALUE_RULES: dict[str, Callable[["Shapes", Node], tuple[Dim, ...] | None]] = {}
TRUTHS = (
    *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "Xor"),
    *("IsNaN", "IsInf"),
)
COUNTS = ("Shape", "Size", "ArgMax", "ArgMin")
MADE = {
    **dict.fromkeys(TRUTHS, "bool"),
    **dict.fromkeys(COUNTS, "int64"),
    "MatMulInteger": "int32",
    "edge.Embedding": "float32",
}  # types of outputs, whatever goes in
MIXED = {
    *("ConstantOfShape", "DequantizeLinear", "DynamicQuantizeLinear", "MaxPool", "QuantizeLinear"),
    *("Dropout",),
}  # of several types, or of attributes'


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Register how these operators' outputs are shaped; None: not even the rank is known."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, function))
        return function

    return register


@dataclass
class Shapes:
    """What is known so far.

    constants  by name
    matrices   of edge's own operators, by name
    shapes     by value; not in it: the rank is unknown
    elements   of tensors of integers of at most one axis
    dtypes     NumPy's names; not in it: unknown
    """

    constants: Mapping[str, np.ndarray]
    matrices: Mapping[str, Matrix]
    shapes: dict[str, Shape] = field(default_factory=dict)
    elements: dict[str, tuple[Dim, ...]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)

    def enter(self, value: Value, inside: bool = False) -> None:
        """An input of the graph; of one inside a node names of sizes are that graph's own."""
        self.dtypes[value.name] = value.dtype
        if value.shape is not None:
            self.shapes[value.name] = tuple(
                declared(None if inside and isinstance(d, str) else d, value.name, axis)
                for axis, d in enumerate(value.shape)
            )

    def of(self, name: str) -> Shape | None:
        if name in self.constants:
            return tuple(self.constants[name].shape)
        return self.shapes.get(name)

    def dtype(self, name: str) -> str | None:
        if name in self.constants:
            return str(self.constants[name].dtype)
        return self.dtypes.get(name)

    def elements_of(self, name: str) -> tuple[Dim, ...] | None:
        """Of a small tensor of integers (or truths)."""
        array = self.constants.get(name)
        if array is None:
            return self.elements.get(name)
        if array.size > MAX_ELEMENTS or array.ndim > 1 or array.dtype.kind not in "iub":
            return None
        return tuple(int(n) for n in array.ravel())

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Those of a constant, or what is known to be one."""
        found = self.elements_of(name)
        if found is None or not all(isinstance(d, int) for d in found):
            return None
        return tuple(int(d) for d in found)

    def infer(self, node: Node) -> None:
        """Take note of what a node makes; of one that cannot work with such inputs nothing is known,
        and it fails when it runs.
        """
        with suppress(IndexError, KeyError, ValueError, TypeError):
            self._infer(node)

    def _infer(self, node: Node) -> None:
        outputs = list(RULES[node.op](self, node)) if node.op in RULES else []
        for name, shape in zip(node.outputs, outputs, strict=False):
            if shape is not None and name:
                self.shapes[name] = tuple(shape)
        if node.op in VALUE_RULES:
            found = VALUE_RULES[node.op](self, node)
            if found is not None and len(found) <= MAX_ELEMENTS:
                self.elements[node.outputs[0]] = found
        for name in filter(None, node.outputs):
            dtype = self._dtype(node)
            if dtype is not None:
                self.dtypes[name] = dtype

    def _dtype(self, node: Node) -> str | None:
        """Of a node's outputs where they are of one type; most operators keep their input's."""
        if node.op in MADE:
            return MADE[node.op]
        if node.op == "Cast":
            return str(node.attributes["to"])
        if node.op == "Where":
            return self.dtype(node.inputs[1])
        if node.op not in RULES or node.op in MIXED or not node.inputs:
            return None
        return self.dtype(node.inputs[0])

    def ranked(self, name: str, rank: int) -> Shape:
        """A shape of this rank, of which no more is known."""
        return tuple(unknown(name, axis) for axis in range(rank))
