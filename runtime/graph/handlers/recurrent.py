"""LSTM and GRU layers."""

from edge.format.graph import Node

from ..lowering import Lowering, handles
from ..storage import place
from ..units.recurrent import Recurrent

GATES = {"edge.LSTM": 4, "edge.GRU": 3}
STATES = {"edge.LSTM": 2, "edge.GRU": 1}
FORMATS = ("int8", "float32", "float16")
MOST_STEPS = 2048  # of two ops each, or four


@handles(*GATES)
def recurrent(self: Lowering, node: Node) -> bool:
    gates, *states = node.inputs
    if not self.is_float(gates, *filter(None, states)):
        return False
    rows, hidden = _check(self, node, gates, states)
    matrix = self.weights.matrix(node.attributes["weight"], rows, hidden)
    extra = matrix.outliers or matrix.sparse or matrix.low_rank or matrix.factor
    extra = extra or matrix.weight_only
    if extra or str(matrix.form) not in FORMATS or self.shape(gates)[0] > MOST_STEPS:
        return False
    source = self.at(gates)
    h, c = (self.at(name) if name else None for name in (*states, "", "")[:2])
    y, *last = (*node.outputs, "", "")[:3]
    last_h, last_c = (
        self.new(node, i) if name else place((source.shape[1], hidden))
        for i, name in enumerate(last, 1)
    )
    out = self.new(node) if y else last_h
    backward = bool(node.attributes.get("reverse", 0))
    kind = node.op.removeprefix("edge.").lower()
    cell = last_c if kind == "lstm" else None
    first = kind == "gru" and bool(node.attributes.get("reset_first", 0))
    self.add(Recurrent(kind, source, matrix, h, c, out, last_h, cell, backward, first))
    return True


def _check(self: Lowering, node: Node, gates: str, states: list[str]) -> tuple[int, int]:
    """Rows of its matrix and elements of its state, to which everything fits."""
    rows, hidden = self.matrices.shape(node.attributes["weight"])
    shape, most = self.shape(gates), STATES[node.op]
    if len(shape) != 3 or shape[2] != rows or rows != GATES[node.op] * hidden:
        raise self.broken(node, f"[steps, batch, {GATES[node.op]} x {hidden}]", shape)
    found = [self.shape(name) for name in states if name]
    if any(one != (shape[1], hidden) for one in found):
        raise self.broken(node, f"states {[shape[1], hidden]}", found)
    if len(states) > most or len(node.outputs) > most + 1:
        raise self.broken(node, f"{most} states", (len(states), len(node.outputs) - 1))
    return rows, hidden
