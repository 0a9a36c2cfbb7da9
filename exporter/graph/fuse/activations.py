"""GELU, SiLU, HardSwish and the like from the operators that exporters spell them with."""

import math
from typing import Any

from edge.format.graph import Node

from ..model import GraphModel
from .editing import Editing, rewrite
from .pattern import Call, OneOf, Pattern, Product, find

_CUBIC = OneOf((Product(0.044715, (Call("Pow", ("x", 3.0)),)), Product(0.044715, ("x", "x", "x"))))
_SUM = OneOf(
    (
        Call("Add", ("x", _CUBIC)),
        Product(1.0, ("x", Call("Add", (1.0, Product(0.044715, (Call("Pow", ("x", 2.0)),)))))),
        Product(1.0, ("x", Call("Add", (1.0, Product(0.044715, ("x", "x")))))),
    )
)
_TANH = Product(math.sqrt(2 / math.pi), (_SUM,))
_ERF = Product(math.sqrt(0.5), ("x",))
_RELU6 = Call("Clip", (Call("Add", ("x", 3.0)), 0.0, 6.0))
_SIXTH = {"alpha": 1 / 6, "beta": 0.5}
_HARD_SIGMOID = Call("HardSigmoid", ("x",), {"alpha": (1 / 6, 0.2), "beta": (0.5, 0.5)})

SPELLINGS: tuple[tuple[Pattern, str, dict[str, Any]], ...] = (
    (Product(0.5, ("x", Call("Add", (1.0, Call("Erf", (_ERF,)))))), "Gelu", {}),
    (
        Product(0.5, ("x", Call("Add", (1.0, Call("Tanh", (_TANH,)))))),
        "Gelu",
        {"approximate": "tanh"},
    ),
    (Product(1.0, ("x", Call("Sigmoid", ("x",)))), "Swish", {}),
    (Product(1.0, ("x", Call("Sigmoid", (Product(1.702, ("x",)),)))), "Swish", {"alpha": 1.702}),
    (Product(1 / 6, ("x", _RELU6)), "HardSwish", {}),
    (Product(1.0, ("x", _HARD_SIGMOID)), "HardSwish", {}),
    (Product(1 / 6, (_RELU6,)), "HardSigmoid", _SIXTH),
    (Product(1.0, ("x", Call("Tanh", (Call("Softplus", ("x",)),)))), "Mish", {}),
    (Call("Log", (Call("Add", (1.0, Call("Exp", ("x",)))),)), "Softplus", {}),
)


def recognise_activations(model: GraphModel) -> GraphModel:
    """Write each activation as one operator."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        if node.op in ("Mul", "Div", "Log"):
            _spelled(edit, node)


def _spelled(edit: Editing, node: Node) -> None:
    for pattern, op, attributes in SPELLINGS:
        match = find(edit, node, pattern)
        if match is not None:
            edit.become(node, op, (match.values["x"],), **attributes)
            return
