"""Rows that are looked up in a large constant, as edge.Embedding."""

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from .editing import Editing, rewrite
from .matrices import add_matrix

EMBEDDING = "edge.Embedding"
LEAST = 2**14  # weights of a table: a smaller one stays a constant


def make_embeddings(model: GraphModel) -> GraphModel:
    """Gather of rows of a constant matrix that is read for nothing else."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        if _looks_up(edit, node) and all(_looks_up(edit, n) for n in edit.readers(node.inputs[0])):
            source = node.inputs[0]
            name = add_matrix(edit, node, source, edit.constants[source])
            edit.become(node, EMBEDDING, node.inputs[1:], weight=name)


def _looks_up(edit: Editing, node: Node) -> bool:
    table = edit.constant(node.inputs[0]) if node.op == "Gather" else None
    if table is None or node.inputs[0] in edit.outputs or node.attributes.get("axis", 0) != 0:
        return False
    return table.ndim == 2 and table.dtype == np.float32 and table.size >= LEAST
