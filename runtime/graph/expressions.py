"""Elementwise operators as instructions of kernels/elementwise.py."""

from collections.abc import Callable

import numpy as np

from edge.format.graph import Node

from .units.chain import Instruction, Operand
from .units.convolution import LARGEST

Term = Instruction | Operand
Build = Callable[[Node, list[Term | None]], Instruction | None]


def number(value: float) -> Operand:
    return Operand(None, np.array([value], np.float32))


def constant_of(term: Term | None) -> float | None:
    """Its value, if it is one number."""
    if isinstance(term, Operand) and term.is_number:
        assert term.constant is not None
        return float(term.constant.reshape(-1)[0])
    return None


def _plain(op: str) -> Build:
    return lambda node, x: Instruction(op, tuple(t for t in x if t is not None))


def _of_many(op: str) -> Build:
    def build(node: Node, x: list[Term | None]) -> Instruction | None:
        terms = [t for t in x if t is not None]
        if len(terms) < 2:
            return Instruction("copy", (terms[0],))
        total: Term = terms[0]
        for term in terms[1:]:
            total = Instruction(op, (total, term))
        assert isinstance(total, Instruction)
        return total

    return build


def _clip(node: Node, x: list[Term | None]) -> Instruction | None:
    bounds = [(x[i] if i < len(x) else None) for i in (1, 2)]
    low, high = (
        number(LARGEST if i else -LARGEST) if bound is None else bound
        for i, bound in enumerate(bounds)
    )
    return Instruction("clamp", (_first(x), low, high))


def _hard_sigmoid(node: Node, x: list[Term | None]) -> Instruction | None:
    alpha, beta = (node.attributes.get(k, d) for k, d in (("alpha", 0.2), ("beta", 0.5)))
    return _ramp(_first(x), alpha, beta)


def _hard_swish(node: Node, x: list[Term | None]) -> Instruction | None:
    return Instruction("mul", (_first(x), _ramp(_first(x), 1 / 6, 0.5)))


def _ramp(x: Term, alpha: float, beta: float) -> Instruction:
    line = Instruction("fma", (x, number(alpha), number(beta)))
    return Instruction("clamp", (line, number(0), number(1)))


def _gelu(node: Node, x: list[Term | None]) -> Instruction | None:
    tanh = node.attributes.get("approximate", "none") == "tanh"
    return Instruction("tanhgelu" if tanh else "exactgelu", (_first(x),))


def _swish(node: Node, x: list[Term | None]) -> Instruction | None:
    alpha = node.attributes.get("alpha", 1.0)
    if alpha == 1.0:
        return Instruction("silu", (_first(x),))
    gate = Instruction("sigmoid", (Instruction("mul", (_first(x), number(alpha))),))
    return Instruction("mul", (_first(x), gate))


def _leaky_relu(node: Node, x: list[Term | None]) -> Instruction | None:
    alpha = node.attributes.get("alpha", 0.01)
    if not 0 <= alpha <= 1:
        return None
    return Instruction("max", (_first(x), Instruction("mul", (_first(x), number(alpha)))))


def _pow(node: Node, x: list[Term | None]) -> Instruction | None:
    exponent, base = constant_of(x[1]), _first(x)
    square = Instruction("mul", (base, base))
    if exponent == 2:
        return square
    if exponent == 3:
        return Instruction("mul", (square, base))
    return Instruction("sqrt", (base,)) if exponent == 0.5 else None


def _first(x: list[Term | None]) -> Term:
    assert x[0] is not None
    return x[0]


EXPRESSIONS: dict[str, Build] = {
    **{op: _plain(op.lower()) for op in ("Add", "Sub", "Mul", "Div", "Relu", "Sigmoid", "Tanh")},
    **{op: _plain(op.lower()) for op in ("Exp", "Sqrt", "Neg", "Abs", "Reciprocal")},
    "Max": _of_many("max"),
    "Min": _of_many("min"),
    "Sum": _of_many("add"),
    "Clip": _clip,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Gelu": _gelu,
    "Swish": _swish,
    "LeakyRelu": _leaky_relu,
    "Pow": _pow,
}
