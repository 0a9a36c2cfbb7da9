"""Products with constant matrices as edge.Linear."""

from dataclasses import replace

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from .affine import Affine, affine, finite
from .editing import Editing, rewrite
from .matrices import add_matrix

LINEAR = "edge.Linear"
LEAST = 4  # rows and columns: a smaller constant stays MatMul's
LEAST_LEFT = 32  # rows and columns of a left operand: two transposes come with it
FLOATS = (np.float32, np.float16)


def make_linear(model: GraphModel) -> GraphModel:
    """MatMul and Gemm with a constant, with what shifts and scales their output."""
    model = rewrite(model, _change)
    kept = set(model.grids)
    return rewrite(model, lambda edit: _fold(edit, kept))


def _change(edit: Editing) -> None:
    for node in edit:
        if node.op == "MatMul":
            _right(edit, node) or _left(edit, node)
        elif node.op == "Gemm":
            _gemm(edit, node)


def _right(edit: Editing, node: Node) -> bool:
    x, name = node.inputs
    matrix, rank = _matrix(edit, name), edit.rank(x)
    if matrix is None or edit.constant(x) is not None or min(matrix.shape) < LEAST:
        return False
    axes = edit.constants[name].ndim
    if axes > 2 and (rank is None or rank < axes):
        return False  # the product has more axes than x
    edit.become(node, LINEAR, (x,), weight=add_matrix(edit, node, name, matrix.T))
    return True


def _left(edit: Editing, node: Node) -> bool:
    """A x = (x^T A^T)^T."""
    name, x = node.inputs
    matrix, rank = _matrix(edit, name), edit.rank(x)
    if matrix is None or edit.constants[name].ndim != 2 or min(matrix.shape) < LEAST_LEFT:
        return False
    if edit.constant(x) is not None or rank is None or rank < 2:
        return False
    turn = (*range(rank - 2), rank - 1, rank - 2)
    turned = edit.node("Transpose", (x,), f"{node.outputs[0]}.turned", perm=turn)
    weight = add_matrix(edit, node, name, matrix)
    product = edit.node(LINEAR, turned.outputs, f"{node.outputs[0]}.product", weight=weight)
    back = Node("Transpose", product.outputs, node.outputs, {"perm": turn}, node.name)
    edit.replace(node, turned, product, back)
    return True


def _matrix(edit: Editing, name: str) -> np.ndarray | None:
    """Of a constant with two axes, or with more of length 1 before them."""
    array = edit.constant(name)
    if array is None or array.ndim < 2 or array.dtype not in FLOATS:
        return None
    rows, columns = array.shape[-2:]
    return array.reshape(rows, columns) if array.size == rows * columns else None


def _gemm(edit: Editing, node: Node) -> None:
    """alpha A B + beta C; a C that has one number a column becomes the bias later on."""
    a, b, c = (*node.inputs, "")[:3]
    matrix, like = _matrix(edit, b), node.outputs[0]
    if matrix is None or edit.constant(a) is not None:
        return
    nodes = []
    if node.attributes.get("transA", 0):
        nodes.append(edit.node("Transpose", (a,), f"{like}.turned", perm=(1, 0)))
        a = nodes[-1].outputs[0]
    rows = matrix if node.attributes.get("transB", 0) else matrix.T
    alpha = np.float32(node.attributes.get("alpha", 1.0))
    weight = add_matrix(edit, node, b, rows if alpha == 1 else rows * alpha)
    nodes.append(edit.node(LINEAR, (a,), f"{like}.product", weight=weight))
    product = nodes[-1].outputs[0]
    if c:
        more, added = _times(edit, c, node.attributes.get("beta", 1.0), like)
        nodes += [*more, edit.node("Add", (product, added), f"{like}.sum")]
    nodes[-1] = replace(nodes[-1], outputs=node.outputs, name=node.name)
    edit.replace(node, *nodes)


def _times(edit: Editing, c: str, beta: float, like: str) -> tuple[list[Node], str]:
    """beta C, and the node that makes it if C is no constant."""
    added = edit.constant(c)
    if beta == 1:
        return [], c
    if added is not None:
        return [], edit.add_constant(f"{like}.added", added * added.dtype.type(beta))
    factor = edit.add_constant(f"{like}.beta", np.array(beta, np.float32))
    scaled = edit.node("Mul", (c, factor), f"{like}.scaled")
    return [scaled], scaled.outputs[0]


# --- what is beside it ----------------------------------------------------------------------------


def _fold(edit: Editing, kept: set[str]) -> None:
    for node in edit:
        for name in node.inputs[:2]:
            linear = edit.maker(name, LINEAR)
            if linear is not None and edit.reader(name) is node:
                _behind(edit, node, linear, kept)
                break
        if node.op == LINEAR:
            _before(edit, node, kept)


def _behind(edit: Editing, node: Node, linear: Node, kept: set[str]) -> None:
    matrix = edit.model.matrices[linear.attributes["weight"]]
    found = affine(edit, node, edit.rank(linear.inputs[0]) or 1, -1)
    rows = len(matrix.weight)
    if found is None or not found.fits(rows) or not _takes(edit, linear, found, kept):
        return
    bias = 0 if matrix.bias is None else matrix.bias
    weight = matrix.weight * np.broadcast_to(found.scale, rows)[:, None]
    if _set(edit, linear, weight, np.broadcast_to(bias * found.scale + found.shift, rows)):
        edit.replace(node, replace(linear, outputs=node.outputs))


def _before(edit: Editing, linear: Node, kept: set[str]) -> None:
    x = linear.inputs[0]
    matrix, rank = edit.model.matrices[linear.attributes["weight"]], edit.rank(x)
    found = affine(edit, edit.maker(x), rank or 1, -1)
    if found is None or edit.reader(x) is not linear or not _takes(edit, linear, found, kept):
        return
    columns = matrix.weight.shape[1]
    if edit.rank(found.x) != rank or not found.fits(columns):
        return
    bias, shift = matrix.bias, np.broadcast_to(found.shift, columns)
    if shift.any():
        moved = matrix.weight.astype(np.float64) @ shift
        bias = moved if bias is None else bias + moved
    if _set(edit, linear, matrix.weight * found.scale, bias):
        edit.replace(linear, replace(linear, inputs=(found.x,)))


def _takes(edit: Editing, linear: Node, found: Affine, kept: set[str]) -> bool:
    """Not if others read the matrix, too, or if its codes are to be kept and would not be."""
    name = linear.attributes["weight"]
    changes = bool((found.scale != 1).any())
    return edit.model.uses[name] == 1 and not (changes and edit.model.matrices[name].source in kept)


def _set(edit: Editing, linear: Node, weight: np.ndarray, bias: np.ndarray | None) -> bool:
    """Give a layer float32 weights, if they are numbers that float32 has."""
    name = linear.attributes["weight"]
    if not finite(weight) or (bias is not None and not finite(bias)):
        return False
    weight = weight.astype(np.float32)
    bias = None if bias is None else bias.astype(np.float32)
    edit.model.matrices[name] = replace(edit.model.matrices[name], weight=weight, bias=bias)
    return True
