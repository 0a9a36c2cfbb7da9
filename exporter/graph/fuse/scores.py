"""The scores of attention: how products of queries and keys are scaled and masked."""

from dataclasses import dataclass, replace

import numpy as np

from edge.format.graph import Node

from ..symbolic.dimensions import Shape
from .editing import Editing

EXCLUDED = -1e9  # added to a score, it leaves no weight, nor anything of the score


@dataclass(frozen=True)
class Scores:
    """scale q k + mask.

    k       [N, heads, D, T]
    mask    what is added, or ""
    nodes   that compute them now
    before  nodes to be added: they make the mask
    """

    q: str
    k: str
    scale: float
    mask: str = ""
    nodes: tuple[Node, ...] = ()
    before: tuple[Node, ...] = ()


def scores_of(edit: Editing, name: str) -> Scores | None:
    found = _scaled(edit, name)
    if found is not None:
        return found
    node = edit.maker(name, "Add", "Where")
    if node is None:
        return None
    return _added(edit, node) if node.op == "Add" else _filled(edit, node)


def _scaled(edit: Editing, name: str) -> Scores | None:
    node, scale, nodes = edit.maker(name), 1.0, []
    while node is not None and node.op in ("Mul", "Div"):
        number, x = _number(edit, node)
        if number is None:
            return None
        nodes.append(node)
        scale, node = scale * number, edit.maker(x)
    if node is None or node.op != "MatMul":
        return None
    q, k = node.inputs
    return Scores(q, k, scale, nodes=(*nodes, node))


def _number(edit: Editing, node: Node) -> tuple[float | None, str]:
    """What a Mul or a Div multiplies its other input by."""
    a, b = node.inputs
    number = edit.scalar(b)
    if node.op == "Div":
        return (1 / number if number else None), a
    return (number, a) if number is not None else (edit.scalar(a), b)


def _added(edit: Editing, node: Node) -> Scores | None:
    for name, mask in (node.inputs, node.inputs[::-1]):
        found = _scaled(edit, name)
        if found is not None and broadcasts(edit.shape(mask), edit.shape(name)):
            return replace(found, mask=mask, nodes=(node, *found.nodes))
    return None


def _filled(edit: Editing, node: Node) -> Scores | None:
    """Where a condition holds (or not), a score is a number so low that its weight is 0."""
    condition, a, b = node.inputs
    for name, fill in ((a, b), (b, a)):
        found, number = _scaled(edit, name), edit.scalar(fill)
        if found is None or number is None or number > EXCLUDED:
            continue
        if not broadcasts(edit.shape(condition), edit.shape(name)):
            continue
        zero = edit.add_constant(f"{node.outputs[0]}.zero", np.zeros((), np.float32))
        inputs = (condition, zero, fill) if name == a else (condition, fill, zero)
        mask = edit.node("Where", inputs, f"{node.outputs[0]}.mask")
        nodes = (node, *found.nodes)
        return replace(found, mask=mask.outputs[0], nodes=nodes, before=(mask,))
    return None


def broadcasts(mask: Shape | None, scores: Shape | None) -> bool:
    """Whether a mask fits scores and does not make them larger."""
    if mask is None or scores is None or len(mask) > len(scores):
        return False
    pairs = zip(mask[::-1], scores[::-1], strict=False)
    return all(size == 1 or length != 1 for size, length in pairs)


def unscaled(edit: Editing, name: str, scale: float) -> tuple[float, str]:
    """q or k without a factor of its own."""
    node = edit.maker(name, "Mul", "Div")
    number, x = _number(edit, node) if node is not None else (None, name)
    return (scale, name) if number is None else (scale * number, x)
