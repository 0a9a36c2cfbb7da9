"""Older forms of ONNX's operators lifted to the newest, a family a file.

An upgrade is a function (node, Rewriting) -> nodes that mean the same in the newest opset, and is
registered for an operator as it was before an opset.
"""

from dataclasses import replace
from importlib import import_module

from edge.format.graph import Node

from ..model import GraphModel
from ..rewriting import Rewriting
from .registry import UPGRADES as UPGRADES

_MODULES = (
    *("axes", "images", "inputs", "microsoft", "microsoft_attention", "microsoft_lstm"),
    *("normalization", "padding", "softmax"),
)

for _module in _MODULES:
    import_module(f".{_module}", __package__)


def upgrade(model: GraphModel) -> GraphModel:
    """The model in operators of the newest opset.  Raises UnsupportedModel for a form that has no
    counterpart there.
    """
    rewriting = Rewriting(model.graph, model.opset)

    def change(node: Node) -> list[Node]:
        for before, upgraded in UPGRADES.get(node.op, ()):
            if model.opset < before:
                return upgraded(node, rewriting)
        return [node]

    return replace(model, graph=rewriting.result(change))
