"""Expressions to look for in a graph, however their factors and terms are put in order.

A pattern is

    "x"                     any value; the same name stands for the same value
    0.5                     a constant of one element that is this number, up to float32's rounding
    Call("Erf", (p,), {})   an operator of these inputs and attributes, by name (number, default);
                            of Add the terms in any order
    Product(0.5, (p, ...))  a product of these factors and of numbers that come to 0.5, however it is
                            written with Mul, and with Div by a number
    OneOf((p, ...))         the first of these that is there
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations

from edge.format.graph import Node

from .editing import Editing

ROUNDING = 1e-5  # relative: exporters write sqrt(2 / pi) with six digits


@dataclass(frozen=True)
class Call:
    op: str
    inputs: tuple["Pattern", ...]
    attributes: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    number: float
    factors: tuple["Pattern", ...]


@dataclass(frozen=True)
class OneOf:
    patterns: tuple["Pattern", ...]


Pattern = str | float | Call | Product | OneOf


@dataclass(frozen=True)
class Match:
    """values: by the pattern's names; nodes: of the expression, its root among them."""

    values: dict[str, str] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    def closed(self, edit: Editing, root: Node) -> bool:
        """Whether nobody outside reads what is inside."""
        inside = [node for node in self.nodes if node is not root]
        return all(
            edit.only(name, self.nodes) for node in inside for name in filter(None, node.outputs)
        )


def find(edit: Editing, root: Node, pattern: Pattern) -> Match | None:
    """The expression that `root` ends, if it is this one and nobody reads a part of it."""
    for match in _matches(edit, root.outputs[0], pattern, Match()):
        if match.closed(edit, root):
            return match
    return None


def near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=ROUNDING)


def _matches(edit: Editing, name: str, pattern: Pattern, match: Match) -> Iterator[Match]:
    if isinstance(pattern, str):
        if match.values.get(pattern, name) == name:
            yield replace(match, values={**match.values, pattern: name})
    elif isinstance(pattern, OneOf):
        for one in pattern.patterns:
            yield from _matches(edit, name, one, match)
    elif isinstance(pattern, Call):
        yield from _calls(edit, name, pattern, match)
    elif isinstance(pattern, Product):
        yield from _products(edit, name, pattern, match)
    else:
        number = edit.scalar(name)
        if number is not None and near(number, pattern):
            yield match


def _calls(edit: Editing, name: str, pattern: Call, match: Match) -> Iterator[Match]:
    node = edit.maker(name, pattern.op)
    if node is None or len(node.inputs) != len(pattern.inputs):
        return
    wanted = pattern.attributes
    if not set(node.attributes) <= set(wanted) or not all(
        near(node.attributes.get(key, default), number) for key, (number, default) in wanted.items()
    ):
        return
    match = replace(match, nodes=(*match.nodes, node))
    orders = permutations(pattern.inputs) if pattern.op == "Add" else [pattern.inputs]
    for order in orders:
        yield from _all(edit, list(zip(node.inputs, order, strict=True)), match)


def _products(edit: Editing, name: str, pattern: Product, match: Match) -> Iterator[Match]:
    for number, factors, nodes in _factors(edit, name, len(pattern.factors)):
        if len(factors) != len(pattern.factors) or not near(number, pattern.number):
            continue
        found = replace(match, nodes=(*match.nodes, *nodes))
        for order in permutations(pattern.factors):
            yield from _all(edit, list(zip(factors, order, strict=True)), found)


def _all(edit: Editing, pairs: list[tuple[str, Pattern]], match: Match) -> Iterator[Match]:
    if not pairs:
        yield match
        return
    (name, pattern), *rest = pairs
    for found in _matches(edit, name, pattern, match):
        yield from _all(edit, rest, found)


Factors = tuple[float, tuple[str, ...], tuple[Node, ...]]


def _factors(edit: Editing, name: str, most: int) -> Iterator[Factors]:
    """Every way to see a value as a product of at most `most` values, and a number."""
    node = edit.maker(name, "Mul", "Div")
    if node is not None:
        a, b = node.inputs
        for number, value in ((edit.scalar(b), a), (edit.scalar(a), b)):
            if number is None or (node.op == "Div" and (value == b or not number)):
                continue
            number = 1 / number if node.op == "Div" else number
            for rest, factors, nodes in _factors(edit, value, most):
                yield number * rest, factors, (node, *nodes)
            return
        if node.op == "Mul" and most > 1:
            yield from _pairs(edit, node, most)
    yield 1.0, (name,), ()


def _pairs(edit: Editing, node: Node, most: int) -> Iterator[Factors]:
    for left, before, some in _factors(edit, node.inputs[0], most - 1):
        for right, after, others in _factors(edit, node.inputs[1], most - len(before)):
            yield left * right, (*before, *after), (node, *some, *others)
