"""Convolutions in groups of channels, and channels in another order."""

import numpy as np

from edge.format.graph import Node

from .editing import Editing
from .layout import before_transpose, last, put, to_first
from .matrices import add_matrix
from .windows import LANES, Windows


def grouped(
    edit: Editing, node: Node, windows: Windows, bias: np.ndarray | None, groups: int
) -> None:
    """Convolutions side by side: channels are split, and the outputs joined.

    Groups of less than 16 channels go together, zeros between them: a tile has 16 anyway.
    """
    rank, like, name = 3 if windows.signal else 4, node.outputs[0], node.inputs[1]
    x, nodes = last(edit, node.inputs[0], rank)
    image = windows.signal and not windows.is_point
    axes = edit.add_integers(f"{like}.axes", [1])
    if image:
        nodes.append(edit.node("Unsqueeze", (x, axes), f"{x}.image"))
        x = nodes[-1].outputs[0]
    axis = 2 if rank == 3 and not image else 3
    blocks = _blocks(windows.w, groups)
    sizes = edit.add_integers(f"{like}.groups", [block.shape[1] for block in blocks])
    parts = tuple(edit.model.fresh(f"{like}.group") for _ in blocks)
    nodes.append(Node("Split", (x, sizes), parts, {"axis": axis}, node.name))
    biases = [None] * len(blocks) if bias is None else np.split(bias, len(blocks))
    results: list[str] = []
    for part, block, added in zip(parts, blocks, biases, strict=True):
        op, matrix, attributes = _layer(windows, block)
        attributes["weight"] = add_matrix(edit, node, name, matrix, added)
        nodes.append(edit.node(op, (part,), f"{part}.result", **attributes))
        results += nodes[-1].outputs
    if not image:
        put(edit, node, nodes, "Concat", results, [to_first(rank)], axis=axis)
        return
    nodes.append(edit.node("Concat", results, f"{like}.image", axis=axis))
    put(edit, node, nodes, "Squeeze", (nodes[-1].outputs[0], axes), [to_first(3)])


def _layer(windows: Windows, block: np.ndarray) -> tuple[str, np.ndarray, dict[str, object]]:
    """Operator, matrix and attributes of one of them."""
    rows, channels, *kernel = block.shape
    if windows.is_point:
        return "edge.Linear", block.reshape(rows, channels), {}
    own = Windows(block, windows.strides, windows.pads, windows.dilations)
    return (
        "edge.Conv",
        own.matrix,
        {"kernel": tuple(kernel), "channels": channels, **own.attributes},
    )


def _blocks(w: np.ndarray, groups: int) -> list[np.ndarray]:
    """Weights [rows, channels, kernel height, kernel width] of as many groups as go together."""
    rows, channels, *kernel = w.shape
    rows //= groups
    fits = [n for n in range(1, groups + 1) if groups % n == 0 and n * min(rows, channels) >= LANES]
    together = fits[0] if fits else groups
    blocks = np.zeros((groups // together, together * rows, together * channels, *kernel), w.dtype)
    for i, own in enumerate(w.reshape(groups, rows, channels, *kernel)):
        block, place = divmod(i, together)
        at, columns = place * rows, place * channels
        blocks[block, at : at + rows, columns : columns + channels] = own
    return list(blocks)


def repeated(edit: Editing, x: str, channels: int, times: int, axis: int) -> Node:
    """A value with each of its channels as often as a depthwise convolution makes others of it."""
    places = edit.add_integers(f"{x}.channels", [i // times for i in range(channels)])
    return edit.node("Gather", (x, places), f"{x}.repeated", axis=axis)


def shuffle(edit: Editing, node: Node) -> bool:
    """Channels taken apart into two axes that change places: one look-up in the last axis."""
    turn = edit.maker(node.inputs[0], "Transpose")
    split = edit.maker(turn.inputs[0], "Reshape") if turn is not None else None
    if turn is None or split is None or tuple(turn.attributes.get("perm", ())) != (0, 2, 1, 3, 4):
        return False
    x = before_transpose(edit, split.inputs[0])
    before, parts = edit.shape(split.inputs[0]), edit.shape(split.outputs[0])
    if x is None or before is None or parts is None or edit.shape(node.outputs[0]) != before:
        return False
    first, second = parts[1:3]
    if len(before) != 4 or not isinstance(first, int) or not isinstance(second, int):
        return False
    if (parts[0], *parts[3:]) != (before[0], *before[2:]) or before[1] != first * second:
        return False
    order = np.arange(first * second).reshape(first, second).T.reshape(-1)
    places = edit.add_constant(f"{node.outputs[0]}.order", np.ascontiguousarray(order))
    put(edit, node, [], "Gather", (x, places), [to_first(4)], axis=3)
    return True
