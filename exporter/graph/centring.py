"""Inputs of layers about the middle of their range, where that costs nothing at run time.

Codes of activations are signed: what a Clip has cut to 0 .. 6 uses half of them.  Behind a depthwise
convolution the middle can be taken off for free, by its bias and by the ends of the Clip:

    Clip(depthwise + bias, 0, 6) - 3  =  Clip(depthwise + (bias - 3), -3, 3)
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edge.format.graph import Graph, Node

from .layers import LINEAR
from .narrow import DEPTHWISE


def middles(graph: Graph) -> dict[str, float]:
    """By matrix, of products that alone read such a Clip: what can be taken off their input."""
    uses = [str(n.attributes["weight"]) for n in graph.walk() if "weight" in n.attributes]
    chains = _chains(graph)
    found = {str(linear.attributes["weight"]): middle for _, _, linear, middle in chains}
    return {name: middle for name, middle in found.items() if middle and uses.count(name) == 1}


def centred(graph: Graph, shifts: Mapping[str, float]) -> Graph:
    """With those taken off; the biases of the products are yet to make up for it."""
    constants, changed = dict(graph.constants), dict[int, Node]()
    for depthwise, clip, linear, middle in _chains(graph):
        if str(linear.attributes["weight"]) not in shifts:
            continue
        x, w, *bias = depthwise.inputs
        name, ends = (
            f"{depthwise.outputs[0]}.bias",
            [f"{clip.outputs[0]}.{e}" for e in ("low", "high")],
        )
        old = constants[bias[0]] if bias and bias[0] else np.float32(0)
        channels = constants[w].shape[-1]
        constants[name] = np.broadcast_to(old - np.float32(middle), channels).astype(np.float32)
        for end, source in zip(ends, clip.inputs[1:], strict=True):
            constants[end] = (constants[source] - np.float32(middle)).astype(np.float32)
        changed[id(depthwise)] = replace(depthwise, inputs=(x, w, name))
        changed[id(clip)] = replace(clip, inputs=(clip.inputs[0], *ends))
    nodes = tuple(changed.get(id(node), node) for node in graph.nodes)
    made = replace(graph, nodes=nodes)
    before, now = _read(graph), _read(made)
    constants = {n: a for n, a in constants.items() if n in now or n not in before}
    return replace(made, constants=constants)


def _read(graph: Graph) -> set[str]:
    return {name for node in graph.walk() for name in node.inputs} | {v.name for v in graph.outputs}


def _chains(graph: Graph) -> list[tuple[Node, Node, Node, float]]:
    """Depthwise convolution, Clip, product, and the middle of the Clip's range."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    counts = {value.name: 1 for value in graph.outputs}
    for node in graph.nodes:
        for name in (*node.inputs, *(n for inner in node.graphs for n in inner.captured)):
            counts[name] = counts.get(name, 0) + 1
    found = []
    for linear in graph.nodes:
        clip = makers.get(linear.inputs[0]) if linear.op == LINEAR else None
        if clip is None or clip.op != "Clip" or len(clip.inputs) != 3:
            continue
        depthwise = makers.get(clip.inputs[0])
        ends = [graph.constants.get(name) for name in clip.inputs[1:]]
        alone = counts[clip.inputs[0]] == counts[clip.outputs[0]] == 1
        if (
            depthwise is None
            or depthwise.op != DEPTHWISE
            or not alone
            or any(e is None for e in ends)
        ):
            continue
        if not all(name in graph.constants for name in depthwise.inputs[1:] if name):
            continue
        low, high = (float(np.asarray(end).reshape(())) for end in ends)
        if math.isfinite(low) and math.isfinite(high):
            found.append((depthwise, clip, linear, (low + high) / 2))
    return found
