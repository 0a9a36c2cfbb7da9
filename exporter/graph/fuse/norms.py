"""LayerNormalization and RMSNormalization over the last axis from the operators that spell them."""

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from .editing import Editing, rewrite

MEAN, ROOT = "LayerNormalization", "RMSNormalization"


def recognise_norms(model: GraphModel) -> GraphModel:
    """Write each norm as one operator, with the gain and the bias behind it."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        if node.op in ("Div", "Mul"):
            _normalised(edit, node) or _regrouped(edit, node) or _with_gain(edit, node)
        elif node.op == "Add" and not _centred_first(edit, node):
            _with_bias(edit, node)


def _normalised(edit: Editing, node: Node) -> bool:
    """x / sqrt(mean(x^2) + epsilon); and if x is y - mean(y), the norm of y with its mean."""
    for x, deviation, nodes in _quotients(edit, node):
        found = _deviation(edit, deviation, x)
        if found is None:
            continue
        epsilon, inside = found
        source, more = _centred(edit, x)
        inside = [*nodes, *inside]
        if source is not None and edit.only(x, [node, *inside]):
            inside, op, read = [*inside, *more], MEAN, source
        else:
            op, read = ROOT, x
        if all(edit.only(name, [node, *inside]) for n in inside for name in n.outputs):
            return _write(edit, node, op, read, epsilon)
    return False


def _write(edit: Editing, node: Node, op: str, x: str, epsilon: float) -> bool:
    shape = edit.shape(x)
    if not shape or not isinstance(shape[-1], int) or edit.shapes.dtype(x) != "float32":
        return False
    ones = edit.add_constant(f"{node.outputs[0]}.gain", np.ones(shape[-1], np.float32))
    edit.become(node, op, (x, ones), axis=-1, epsilon=epsilon)
    return True


def _quotients(edit: Editing, node: Node) -> list[tuple[str, str, list[Node]]]:
    """(x, deviation, nodes between) where the node is x / deviation."""
    a, b = node.inputs
    if node.op == "Div":
        return [(a, b, [])]
    found = []
    for x, inverse in ((a, b), (b, a)):
        maker = edit.maker(inverse, "Reciprocal")
        if maker is not None:
            found.append((x, maker.inputs[0], [maker]))
        maker = edit.maker(inverse, "Div")
        if maker is not None and edit.scalar(maker.inputs[0]) == 1:
            found.append((x, maker.inputs[1], [maker]))
        maker = edit.maker(inverse, "Pow")
        if maker is not None and edit.scalar(maker.inputs[1]) == -0.5:
            found.append((x, inverse, []))
    return found


def _regrouped(edit: Editing, node: Node) -> bool:
    """x (gain / deviation) as (x / deviation) gain."""
    if node.op != "Mul":
        return False
    for x, scale in (node.inputs, node.inputs[::-1]):
        product = edit.maker(scale, "Mul")
        if product is None or edit.reader(scale) is not node:
            continue
        for inverse, gain in (product.inputs, product.inputs[::-1]):
            if vector(edit, gain, x) is None:
                continue
            quotient = edit.node("Mul", (x, inverse), f"{node.outputs[0]}.normal")
            if any(_deviation(edit, found, x) for _, found, _ in _quotients(edit, quotient)):
                again = Node("Mul", (*quotient.outputs, gain), node.outputs, {}, node.name)
                edit.replace(node, quotient, again)
                return True
    return False


def _centred_first(edit: Editing, node: Node) -> bool:
    """x scale + (bias - mean(x) scale), as TensorFlow has it, as (x - mean(x)) scale + bias."""
    for scaled, rest in (node.inputs, node.inputs[::-1]):
        product, shift = edit.maker(scaled, "Mul"), edit.maker(rest, "Sub")
        other = edit.maker(shift.inputs[1], "Mul") if shift is not None else None
        if product is None or shift is None or other is None:
            continue
        between = [(scaled, [node]), (rest, [node]), (shift.inputs[1], [shift])]
        if not all(edit.only(name, readers) for name, readers in between):
            continue
        for x, scale in (product.inputs, product.inputs[::-1]):
            mean = _other(other, scale)
            if mean is None or not _is_mean(edit, mean, x):
                continue
            if vector(edit, shift.inputs[0], x) is not None:
                _write_centred(edit, node, x, mean, scale, shift.inputs[0])
                return True
    return False


def _other(product: Node, factor: str) -> str | None:
    a, b = product.inputs
    return b if a == factor else a if b == factor else None


def _is_mean(edit: Editing, name: str, x: str) -> bool:
    mean = edit.maker(name, "ReduceMean")
    return mean is not None and mean.inputs[0] == x and _over_last(edit, mean)


def _write_centred(edit: Editing, node: Node, x: str, mean: str, scale: str, bias: str) -> None:
    """By the difference that the variance is made of, if it is there."""
    like, nodes = node.outputs[0], []
    there = [n for n in edit.readers(mean) if n.op == "Sub" and n.inputs == (x, mean)]
    if not there:
        nodes.append(edit.node("Sub", (x, mean), f"{like}.centred"))
    (centred,) = (there or nodes)[0].outputs
    nodes.append(edit.node("Mul", (centred, scale), f"{like}.scaled"))
    last = Node("Add", (nodes[-1].outputs[0], bias), node.outputs, {}, node.name)
    edit.replace(node, *nodes, last)


def _deviation(edit: Editing, name: str, x: str) -> tuple[float, list[Node]] | None:
    """The epsilon of sqrt(mean(x^2) + epsilon), and its nodes."""
    root = edit.maker(name, "Sqrt", "Pow")
    if root is None or (root.op == "Pow" and edit.scalar(root.inputs[1]) not in (0.5, -0.5)):
        return None
    total = edit.maker(root.inputs[0], "Add")
    if total is None:
        return None
    for mean_name, other in (total.inputs, total.inputs[::-1]):
        epsilon, mean = edit.scalar(other), edit.maker(mean_name, "ReduceMean")
        if epsilon is None or mean is None or not _over_last(edit, mean):
            continue
        square = edit.maker(mean.inputs[0], "Pow", "Mul")
        if square is not None and _squares(edit, square, x):
            return epsilon, [root, total, mean, square]
    return None


def _squares(edit: Editing, node: Node, x: str) -> bool:
    if node.op == "Mul":
        return node.inputs == (x, x)
    return node.inputs[0] == x and edit.scalar(node.inputs[1]) == 2


def _centred(edit: Editing, name: str) -> tuple[str | None, list[Node]]:
    """y where a value is y - mean(y), and the nodes of that."""
    difference = edit.maker(name, "Sub")
    if difference is None:
        return None, []
    y, other = difference.inputs
    mean = edit.maker(other)
    return (y, [difference, mean]) if mean is not None and _is_mean(edit, other, y) else (None, [])


def _over_last(edit: Editing, mean: Node) -> bool:
    rank = edit.rank(mean.inputs[0])
    axes = edit.integers(mean.inputs[1]) if len(mean.inputs) > 1 else None
    if not rank or axes is None or not mean.attributes.get("keepdims", 1):
        return False
    return [axis % rank for axis in axes] == [rank - 1]


# --- gain and bias --------------------------------------------------------------------------------


def _with_gain(edit: Editing, node: Node) -> bool:
    """norm * gain, of a norm that has none yet."""
    if node.op != "Mul":
        return False
    for name, other in (node.inputs, node.inputs[::-1]):
        norm, gain = edit.maker(name, MEAN, ROOT), vector(edit, other, name)
        if norm is None or gain is None or len(norm.inputs) > 2 or edit.reader(name) is not node:
            continue
        old = edit.constant(norm.inputs[1])
        if not own_axis(norm) or old is None or old.shape != gain.shape or not (old == 1).all():
            continue
        scale = edit.add_constant(f"{node.outputs[0]}.gain", gain)
        edit.become(node, norm.op, (norm.inputs[0], scale), **norm.attributes)
        return True
    return False


def _with_bias(edit: Editing, node: Node) -> None:
    for name, other in (node.inputs, node.inputs[::-1]):
        norm, bias = edit.maker(name, MEAN), vector(edit, other, name)
        if norm is None or bias is None or len(norm.inputs) > 2 or edit.reader(name) is not node:
            continue
        if own_axis(norm) and edit.shape(norm.inputs[1]) == bias.shape:
            shift = edit.add_constant(f"{node.outputs[0]}.bias", bias)
            edit.become(node, MEAN, (*norm.inputs, shift), **norm.attributes)
            return


def own_axis(norm: Node) -> bool:
    return bool(norm.attributes.get("axis", -1) == -1)


def vector(edit: Editing, name: str, x: str) -> np.ndarray | None:
    """A constant along x's last axis, [n]; also one number, if x's last axis has a known length."""
    array, shape = edit.constant(name), edit.shape(x)
    if array is None or not shape or array.ndim > len(shape) or array.dtype != np.float32:
        return None
    if array.size == 1 and isinstance(shape[-1], int):
        return np.full(shape[-1], array.reshape(()), np.float32)
    whole = array.ndim > 0 and array.shape[-1] == array.size == shape[-1]
    return array.reshape(-1) if whole else None
