"""Graphs that other tools have quantized, as float graphs and the grids of their weights.

    QuantizeLinear -> DequantizeLinear around float operators (QDQ)
    QLinearConv, QLinearMatMul, QGemm, QLinearAdd, ...  (operators on codes)
    DynamicQuantizeLinear -> MatMulInteger, ConvInteger -> Cast -> Mul
    DynamicQuantizeMatMul, MatMulIntegerToFloat, MatMulNBits

all become the float operator, its weights what their codes mean.  edge quantizes activations anew, a
token at a time, which is finer; what the source's ranges cut off stays cut off, by a Clip.  Layers
are put back on the grids of their weights once they are edge's (kept.py).
"""

from dataclasses import replace

from edge.format.graph import Node

from ..model import GraphModel
from .draft import Draft
from .integers import INTEGER_OPS
from .nbits import matmul_nbits
from .pairs import drop_pairs, fold_constants, fold_transposes, move_quantizers, read_tables
from .qlinear import QLINEAR_OPS

OPERATORS = {**QLINEAR_OPS, **INTEGER_OPS, "com.microsoft.MatMulNBits": matmul_nbits}
LEAST = dict.fromkeys(
    QLINEAR_OPS, 4
) | {  # inputs that an operator must have; one with fewer stays, and is refused by name later
    "QLinearConv": 8,
    "QLinearMatMul": 8,
    "com.microsoft.QGemm": 6,
    "com.microsoft.QLinearAdd": 8,
    "com.microsoft.QLinearMul": 8,
    "com.microsoft.QLinearConcat": 5,
    "Mul": 2,
}
CHANGES = (read_tables, fold_constants, fold_transposes, move_quantizers, drop_pairs)


def unquantize(model: GraphModel) -> GraphModel:
    """The float model, and by the names of its constants the grids that they are on.

    One that nobody has quantized comes back as it is.  Forms that are not known stay what they are:
    operators on integers, which run exactly as ONNX defines them.
    """
    draft = Draft(model.graph)
    draft.rewrite(lambda node: _float_form(draft, node))
    for change in CHANGES:
        change(draft)
    if not draft.changed:
        return model
    graph = replace(model.graph, nodes=draft.live_nodes(), constants=draft.live_constants())
    return replace(model, graph=graph, grids=draft.grids)


def _float_form(draft: Draft, node: Node) -> list[Node] | None:
    if node.op not in OPERATORS or len(node.inputs) < LEAST.get(node.op, 3):
        return None
    return OPERATORS[node.op](draft, node)
