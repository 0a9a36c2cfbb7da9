"""What is done to queries and keys head by head, as rotary positions are, is done token by token.

Heads are split and turned, [N, S, heads, D] -> [N, heads, S, D], rotated, and turned back for
edge.Attention: a Transpose moves through the rotation until it meets the one that undoes it.
"""

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from ..symbolic.rules import BROADCAST
from .attention import BY_TOKEN
from .cleanup import UNARY, tidy
from .cuts import cut_before_transpose
from .editing import Editing, rewrite
from .layout import put


def keep_tokens_first(model: GraphModel) -> GraphModel:
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        if node.op in UNARY or node.op in BROADCAST or node.op == "Concat":
            _elementwise(edit, node)
        elif node.op in ("Slice", "Split") and _by_token(edit, node.inputs[0]) is not None:
            cut_before_transpose(edit, node)
    if not edit.model.changed:
        tidy(edit)


def _by_token(edit: Editing, name: str) -> str | None:
    """[N, S, heads, D] of a value [N, heads, S, D]; not of what `_turned` has turned itself."""
    turn = edit.maker(name, "Transpose")
    if turn is None or tuple(turn.attributes.get("perm", ())) != BY_TOKEN:
        return None
    shape = edit.shape(turn.inputs[0])
    return None if shape is None or shape[1] == 1 else turn.inputs[0]


def _elementwise(edit: Editing, node: Node) -> None:
    """Where one input at least has heads, and the others do not tell heads apart."""
    count = 1 if node.op in UNARY else len(node.inputs)
    if all(_by_token(edit, name) is None for name in node.inputs[:count]):
        return
    inputs, before = [], []
    for name in node.inputs[:count]:
        source = _by_token(edit, name)
        if source is None:
            found = _turned(edit, name, node.op == "Concat")
            if found is None:
                return
            source, added = found
            before += added
        inputs.append(source)
    attributes = dict(node.attributes)
    if node.op == "Concat":
        attributes["axis"] = BY_TOKEN[node.attributes["axis"] % 4]
    rest = node.inputs[count:]
    put(edit, node, before, node.op, (*inputs, *rest), [BY_TOKEN], **attributes)


def _turned(edit: Editing, name: str, whole: bool) -> tuple[str, list[Node]] | None:
    """A value that goes with all heads alike, for [N, S, heads, D]; `whole`: it has all axes."""
    constant, shape = edit.constant(name), edit.shape(name)
    if constant is not None and constant.size == 1 and constant.ndim <= 1 and not whole:
        return name, []
    if shape is None or len(shape) > 4 or (whole and len(shape) < 4):
        return None
    shape = (1,) * (4 - len(shape)) + shape
    if shape[1] != 1:
        return None
    if constant is not None:
        turned = np.ascontiguousarray(constant.reshape([int(d) for d in shape]).transpose(BY_TOKEN))
        return edit.add_constant(f"{name}.by_token", turned), []
    if edit.rank(name) != 4:
        return None
    turn = edit.node("Transpose", (name,), f"{name}.by_token", perm=BY_TOKEN)
    return turn.outputs[0], [turn]
