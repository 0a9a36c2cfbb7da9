"""The LSTM that ONNX Runtime's dynamic quantization makes, as the float one on its weights."""

from edge.format.graph import Node

from ..rewriting import Rewriting
from .microsoft import DOMAIN
from .parts import Parts
from .registry import upgrades


@upgrades(DOMAIN + "DynamicQuantizeLSTM")
def dynamic_lstm(node: Node, at: Rewriting) -> list[Node]:
    """The inputs of LSTM with codes for W and R, columns first; scales and zero points of both."""
    parts = Parts(node, at)
    w, r = (_weights(parts, which, first) for which, first in ((1, 8), (2, 10)))
    inputs = (node.inputs[0], w, r, *node.inputs[3:8])
    return parts.ending("LSTM", *inputs, outputs=node.outputs, **node.attributes)


def _weights(parts: Parts, which: int, first: int) -> str:
    """[directions, 4 H, columns] of codes [directions, columns, 4 H]."""
    codes = parts.add("Cast", parts.node.inputs[which], to="float32")
    zero = parts.add("Cast", parts.node.inputs[first + 1], to="float32")
    off = parts.add("Sub", codes, _by_gate(parts, zero, parts.rank(parts.node.inputs[first + 1])))
    scale = parts.node.inputs[first]
    floats = parts.add("Mul", off, _by_gate(parts, scale, parts.rank(scale)))
    return parts.add("Transpose", floats, perm=(0, 2, 1))


def _by_gate(parts: Parts, values: str, rank: int) -> str:
    """One a direction, or one a gate's row, so that it broadcasts over columns."""
    axes = (1,) if rank == 2 else (1, 2)
    return parts.add("Unsqueeze", values, parts.whole(*axes))
