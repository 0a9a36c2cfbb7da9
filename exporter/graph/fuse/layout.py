"""Values with their channels last, [N, H, W, C], beside ONNX's [N, C, H, W].

An operator that works with channels last reads the `last` version of what it read, and a Transpose
behind it makes what others still read as it was.  The next operator then finds its `last` version
in front of that Transpose, which goes as soon as nobody reads it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.format.graph import Node

from .editing import Editing

RANKS = (3, 4, 5)


def to_last(rank: int) -> tuple[int, ...]:
    """The permutation that moves channels from the second place to the last."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    return (0, rank - 1, *range(1, rank - 1))


def moved(axis: int, rank: int) -> int:
    """Where an axis of [N, C, ...] is with channels last."""
    return to_last(rank).index(axis % rank)


def without_transpose(edit: Editing, name: str) -> str | None:
    """The value with channels last that a Transpose has made this one of.

    Of three axes the same permutation moves channels there and back: only what `put` has written
    counts, or two operators would move it between them for ever.
    """
    source = before_transpose(edit, name)
    return source if edit.rank(name) != 3 or name in edit.moved else None


def before_transpose(edit: Editing, name: str) -> str | None:
    """Likewise, with three axes of any Transpose that may have moved channels."""
    maker = edit.maker(name, "Transpose")
    if maker is None:
        return None
    perm = tuple(maker.attributes.get("perm", ()))
    known = len(perm) in RANKS and perm == to_first(len(perm))
    return maker.inputs[0] if known else None


def last(edit: Editing, name: str, rank: int) -> tuple[str, list[Node]]:
    """A value with its channels last, and the Transpose that has to be added for it."""
    source = before_transpose(edit, name)
    if source is not None:
        return source, []
    for reader in edit.readers(name):
        if reader.op == "Transpose" and tuple(reader.attributes.get("perm", ())) == to_last(rank):
            return reader.outputs[0], []
    turned = edit.node("Transpose", (name,), f"{name}.last", perm=to_last(rank))
    return turned.outputs[0], [turned]


def constant_last(edit: Editing, name: str, rank: int) -> str:
    """A constant to be broadcast against [N, C, ...], for [N, ..., C]."""
    array = edit.constants[name]
    if array.size == 1:
        return name if array.ndim <= 1 else edit.add_constant(f"{name}.last", array.reshape(()))
    array = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(to_last(rank))
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return edit.add_constant(f"{name}.last", np.ascontiguousarray(array))


def put(
    edit: Editing,
    node: Node,
    before: Sequence[Node],
    op: str,
    inputs: Sequence[str],
    perms: Sequence[tuple[int, ...] | None],
    **attributes: Any,
) -> None:
    """Replace a node by one with channels last, and Transposes that make its outputs of that one's.

    perms  of each output: what brings it back; None where there is nothing to bring back
    """
    outputs, behind = [], []
    for name, perm in zip(node.outputs, perms, strict=True):
        if perm is None or perm == tuple(range(len(perm))) or not name:
            outputs.append(name)
            continue
        outputs.append(edit.model.fresh(f"{name}.last"))
        edit.moved.add(name)
        behind.append(Node("Transpose", (outputs[-1],), (name,), {"perm": perm}, name))
    made = Node(op, tuple(inputs), tuple(outputs), attributes, node.name)
    edit.replace(node, *before, made, *behind)
