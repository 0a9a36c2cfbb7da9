"""The matrices of a model's layers: their names, and that each is stored once."""

import re

import numpy as np

from edge.format.graph import Node
from edge.format.spec import NAME

from ..model import Matrix
from .editing import Editing

MAX_NAME = 150  # characters: room for ".weight" and a number


def add_matrix(
    edit: Editing, node: Node, source: str, weight: np.ndarray, bias: np.ndarray | None = None
) -> str:
    """The name of a matrix float32 [rows, columns] for `node`, made from the constant `source`.

    One that is there already, of the same values, serves again.
    """
    weight = np.ascontiguousarray(weight, np.float32)
    bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
    for name, matrix in edit.model.matrices.items():
        if matrix.source == source and _equal(matrix.weight, weight) and _equal(matrix.bias, bias):
            return name
    name = edit.model.fresh_matrix(_named_after(node, source))
    edit.model.matrices[name] = Matrix(weight, bias, source=source)
    return name


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is b) if a is None or b is None else np.array_equal(a, b)


def _named_after(node: Node, source: str) -> str:
    """The constant without ".weight", if its author has named it; else the node, in which torch
    writes the path of the module."""
    if source.endswith(".weight"):
        text = source.removesuffix(".weight")
    else:
        text = re.sub(rf"/{node.op}(_\d+)?$", "", node.name) or source
    text = re.sub(r"[^A-Za-z0-9_\-]+", ".", text).strip(".")[-MAX_NAME:].lstrip(".")
    return text if NAME.fullmatch(text) else "matrix"
