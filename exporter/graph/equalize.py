"""Cross-layer equalization: a channel's weights before and after get the same range."""

from dataclasses import replace

import numpy as np

from edge.format.graph import Node

from .layers import CONV, LANES, LINEAR
from .model import GraphModel, Matrix

ALIKE = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity")
DEPTHWISE = "edge.Depthwise"


def equalize(model: GraphModel) -> GraphModel:
    """s = sqrt(r1 / r2) for each channel between two layers (Nagel et al. 2019, arXiv:1906.04721).

    Rows of the first are divided by s, columns of the second multiplied: with only operators
    between them for which f(x / s) = f(x) / s (Relu is one, a Clip at 6 is none), each read by the
    next alone, the model computes what it did.
    """
    readers = _readers(model)
    matrices, constants = dict(model.matrices), dict(model.graph.constants)
    uses = [str(n.attributes["weight"]) for n in model.graph.walk() if "weight" in n.attributes]
    for first in model.graph.nodes:
        if first.op not in (LINEAR, CONV) or uses.count(str(first.attributes["weight"])) > 1:
            continue
        between, second = _chain(first, readers)
        if second is None or uses.count(str(second.attributes["weight"])) > 1:
            continue
        before, after = (str(node.attributes["weight"]) for node in (first, second))
        rows, blocks = matrices[before], _by_channel(matrices[after].weight, second)
        if before == after or blocks.shape[2] < len(rows.weight):
            continue
        s = _factors(rows.weight, blocks)
        matrices[before] = _divided(rows, s)
        wide = np.ones(blocks.shape[2], np.float32)
        wide[: len(s)] = s
        scaled = (blocks * wide).reshape(matrices[after].weight.shape)
        matrices[after] = replace(matrices[after], weight=scaled, kept=None)
        for node in between:
            if node.op == DEPTHWISE and len(node.inputs) > 2 and node.inputs[2]:
                constants[node.inputs[2]] = constants[node.inputs[2]] / s
    return replace(model, matrices=matrices, graph=replace(model.graph, constants=constants))


def _readers(model: GraphModel) -> dict[str, list[Node]]:
    """By value; an output of the graph has a reader that is no layer."""
    end = Node("", (), ("",))
    found = {value.name: [end] for value in model.graph.outputs}
    for node in model.graph.nodes:
        for name in (*node.inputs, *(n for graph in node.graphs for n in graph.captured)):
            found.setdefault(name, []).append(node)
    return found


def _chain(first: Node, readers: dict[str, list[Node]]) -> tuple[list[Node], Node | None]:
    """What is between a layer and the next that its output alone goes to, and that one."""
    between: list[Node] = []
    node = first
    while True:
        following = readers.get(node.outputs[0], [])
        if len(following) != 1 or following[0].inputs[:1] != node.outputs[:1]:
            return between, None
        node = following[0]
        if node.op in (LINEAR, CONV):
            return between, node
        if node.op not in ALIKE and not _is_private(node, readers):
            return between, None
        between.append(node)


def _is_private(node: Node, readers: dict[str, list[Node]]) -> bool:
    """A depthwise convolution whose bias nobody else has."""
    bias = node.inputs[2] if node.op == DEPTHWISE and len(node.inputs) > 2 else ""
    return node.op == DEPTHWISE and (not bias or len(readers[bias]) == 1)


def _by_channel(weight: np.ndarray, node: Node) -> np.ndarray:
    """[rows, taps, channels as they are padded]."""
    if node.op == LINEAR:
        return weight[:, None, :]
    width = -(-int(node.attributes["channels"]) // LANES) * LANES
    return weight.reshape(len(weight), -1, width)


def _factors(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """float32 [channels]; 1 where a channel has no range."""
    r1 = np.abs(before).max(axis=1)
    r2 = np.abs(after).max(axis=(0, 1))[: len(before)]
    fits = (r1 > 0) & (r2 > 0)
    s: np.ndarray = np.sqrt(np.where(fits, r1, 1) / np.where(fits, r2, 1))
    return s.astype(np.float32)


def _divided(matrix: Matrix, s: np.ndarray) -> Matrix:
    bias = None if matrix.bias is None else matrix.bias / s
    return replace(matrix, weight=matrix.weight / s[:, None], bias=bias, kept=None)
