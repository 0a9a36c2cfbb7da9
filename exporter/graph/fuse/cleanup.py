"""What does nothing goes; reshapes that follow one another become one."""

from dataclasses import replace

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from ..simplify.identities import without_identities
from ..symbolic.dimensions import as_reshape
from .editing import Editing, rewrite

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
UNARY = {
    *("Abs", "Cast", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu"),
    *("HardSigmoid", "HardSwish", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not"),
    *("Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus"),
    *("Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"),
}  # elementwise: of their first input, and of numbers
ROWWISE = {"Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization"}  # over the last axis


def clean(model: GraphModel) -> GraphModel:
    """Drop nodes that change nothing."""
    model = rewrite(model, tidy)
    return replace(model, graph=without_identities(model.graph))


def tidy(edit: Editing) -> None:
    """One round of it."""
    for node in edit:
        if node.op == "Transpose":
            merge_transposes(edit, node)
        elif node.op in VIEWS:
            if not _row_by_row(edit, node):
                _view(edit, node)
        elif node.op in UNARY:
            _sink_view(edit, node)
        elif node.op == "Sum" and len(node.inputs) == 2:
            edit.become(node, "Add", node.inputs)
        elif does_nothing(edit, node):
            edit.bypass(node, node.inputs[0])
        else:
            _known(edit, node)
    for node in edit:
        if node.op == "Transpose":
            _moves_nothing(edit, node)


def does_nothing(edit: Editing, node: Node) -> bool:
    x = node.inputs[0] if node.inputs else ""
    if node.op in ("Concat", "Sum", "Max", "Min", "Mean"):
        return len(node.inputs) == 1
    if node.op == "Split":
        return len(node.outputs) == 1
    if node.op == "Expand" or (node.op == "Slice" and _steps_by_one(edit, node)):
        return edit.shape(x) is not None and edit.shape(x) == edit.shape(node.outputs[0])
    if node.op == "Pad":
        pads = edit.integers(node.inputs[1])
        return pads is not None and not any(pads)
    if node.op in ("Mul", "Div"):
        return edit.scalar(node.inputs[1]) == 1 and _keeps_shape(edit, node)
    if node.op in ("Add", "Sub"):
        return edit.scalar(node.inputs[1]) == 0 and _keeps_shape(edit, node)
    return False


def _steps_by_one(edit: Editing, node: Node) -> bool:
    steps = node.inputs[4] if len(node.inputs) > 4 else ""
    return not steps or set(edit.integers(steps) or ()) == {1}


def _keeps_shape(edit: Editing, node: Node) -> bool:
    """Of a constant of one element as second input: it may have more axes than the first."""
    rank, constant = edit.rank(node.inputs[0]), edit.constant(node.inputs[1])
    return constant is not None and (constant.ndim == 0 or (rank or 0) >= constant.ndim)


def _known(edit: Editing, node: Node) -> None:
    """Small integers that follow from what is known of shapes are constants; so is a choice."""
    if node.op == "Where":
        truths, chosen = edit.constant(node.inputs[0]), node.inputs[2]
        same = edit.shape(chosen) == edit.shape(node.outputs[0]) is not None
        if truths is not None and not truths.any() and same:
            edit.bypass(node, chosen)
            return
    name = node.outputs[0]
    values, shape, dtype = edit.integers(name), edit.shape(name), edit.shapes.dtype(name)
    if node.op == "Identity" or values is None or shape is None or dtype is None:
        return
    if len(node.outputs) == 1 and all(isinstance(size, int) for size in shape):
        array = np.array(values, dtype).reshape([int(size) for size in shape])
        edit.bypass(node, edit.add_constant(f"{name}.known", array))


# --- transposes -----------------------------------------------------------------------------------


def merge_transposes(edit: Editing, node: Node) -> None:
    """Two that follow one another are one; what changes nothing goes."""
    (x,), perm = node.inputs, permutation(edit, node)
    if perm is None:
        return
    before = edit.maker(x, "Transpose")
    inner = permutation(edit, before) if before is not None else None
    if perm == tuple(range(len(perm))):
        edit.bypass(node, x)
    elif before is not None and inner is not None:
        merged = tuple(inner[axis] for axis in perm)
        edit.become(node, "Transpose", before.inputs, perm=merged)


def _moves_nothing(edit: Editing, node: Node) -> None:
    """Where only axes of length 1 change places, it is a Reshape, or Squeeze and Unsqueeze."""
    (x,), perm, name = node.inputs, permutation(edit, node), node.outputs[0]
    shape, after = edit.shape(x), edit.shape(name)
    if perm is None or shape is None or after is None:
        return
    moved, target = [axis for axis in perm if shape[axis] != 1], as_reshape(shape, after)
    if moved != sorted(moved):
        return
    if target is not None:
        edit.become(node, "Reshape", (x, edit.add_integers(f"{name}.shape", target)))
        return
    gone, new = ([axis for axis, size in enumerate(form) if size == 1] for form in (shape, after))
    squeezed = edit.node("Squeeze", (x, edit.add_integers(f"{name}.gone", gone)), f"{name}.flat")
    inputs = (*squeezed.outputs, edit.add_integers(f"{name}.new", new))
    edit.replace(node, squeezed, Node("Unsqueeze", inputs, node.outputs, {}, node.name))


def permutation(edit: Editing, node: Node) -> tuple[int, ...] | None:
    """Of a Transpose; without one it turns all axes round."""
    perm = node.attributes.get("perm")
    if perm is not None:
        return tuple(perm)
    rank = edit.rank(node.inputs[0])
    return None if rank is None else tuple(range(rank))[::-1]


# --- reshapes -------------------------------------------------------------------------------------


def _sink_view(edit: Editing, node: Node) -> None:
    """What is done to each element is done before a view: there it stands beside a layer."""
    view = edit.maker(node.inputs[0], *VIEWS)
    if view is None or edit.reader(node.inputs[0]) is not node:
        return
    inputs = (view.inputs[0], *node.inputs[1:])
    first = edit.node(node.op, inputs, f"{node.outputs[0]}.whole", **node.attributes)
    edit.replace(
        node, first, replace(view, inputs=(*first.outputs, *view.inputs[1:]), outputs=node.outputs)
    )


def _row_by_row(edit: Editing, node: Node) -> bool:
    """What is done to rows needs no view before, if one behind brings the shape back."""
    inside = edit.maker(node.inputs[0], *ROWWISE)
    before = edit.maker(inside.inputs[0], *VIEWS) if inside is not None else None
    if inside is None or before is None or edit.reader(node.inputs[0]) is not node:
        return False
    x, axis = before.inputs[0], inside.attributes.get("axis", -1)
    shape, seen = edit.shape(x), edit.shape(before.outputs[0])
    if not shape or not seen or shape != edit.shape(node.outputs[0]) or shape[-1] != seen[-1]:
        return False
    if axis % len(seen) != len(seen) - 1:
        return False
    attributes = {**inside.attributes, "axis": -1}
    edit.become(node, inside.op, (x, *inside.inputs[1:]), **attributes)
    return True


def _view(edit: Editing, node: Node) -> None:
    """A view of a view is one of what that sees; to the same shape it is nothing."""
    x, name = node.inputs[0], node.outputs[0]
    if node.attributes.get("allowzero", 0):
        return
    seen, before = x, edit.maker(x, *VIEWS)
    while before is not None and not before.attributes.get("allowzero", 0):
        seen, before = before.inputs[0], edit.maker(before.inputs[0], *VIEWS)
    shape, after = edit.shape(seen), edit.shape(name)
    if shape is None or after is None:
        return
    if shape == after:
        edit.bypass(node, seen)
        return
    target = as_reshape(shape, after)
    if target is None and seen != x:
        seen, shape = x, edit.shape(x)
        target = None if shape is None else as_reshape(shape, after)
    if target is None:
        return
    known = node.op == "Reshape" and edit.constant(node.inputs[1]) is not None
    if not known or seen != x:
        edit.become(node, "Reshape", (seen, edit.add_integers(f"{name}.shape", target)))
