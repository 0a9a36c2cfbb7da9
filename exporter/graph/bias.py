"""Bias correction: each layer's outputs get the mean back that they have in the float model."""

from dataclasses import dataclass, replace

import numpy as np

from edge.format.graph import Node

from .activity import HELD_OUT
from .forward import Values, begin, last_readers, run, step
from .layers import PRODUCTS, layers
from .model import GraphModel
from .quantization import Quantized
from .samples import Samples

MOST, LEAST, MOST_BYTES = 32, 4, 2**26  # samples that are run side by side, their inputs


def correct_biases(model: GraphModel, quantized: Quantized, samples: Samples) -> Quantized:
    """Layer after layer, the ones before already corrected (Nagel et al. 2019, arXiv:1906.04721, B.3).

    What is made up for is all that came before, rounded activations and depthwise weights, too.  A
    channel's means are of samples to choose by; a layer whose means are no nearer with them on
    samples that were held out stays as it was.
    """
    size = max(1, sum(array.nbytes for array in samples.items[0].values()))
    some = samples.some(min(MOST, max(LEAST, MOST_BYTES // size)))
    wanted = _float_means(model, some)
    graph, stored = quantized.model.graph, dict(quantized.stored)
    values = [begin(graph, sample) for sample in some]
    last = last_readers(graph)
    for at, node in enumerate(graph.nodes):
        current = replace(quantized, stored=stored)
        for known in values:
            step(node, known, current, current.read)
        if node.outputs[0] in wanted:
            shift = _shift(node, values, wanted[node.outputs[0]])
            if shift is not None:
                name = str(node.attributes["weight"])
                bias = stored[name].bias
                stored[name] = replace(stored[name], bias=shift if bias is None else bias + shift)
                for known in values:
                    known[node.outputs[0]] = known[node.outputs[0]] + shift
        for name in last.get(at, ()):
            for known in values:
                del known[name]
    return replace(quantized, stored=stored)


@dataclass
class _Means:
    """float64 [channels] of the samples to choose by, and of those that are held out."""

    fit: np.ndarray
    held_out: np.ndarray


def _float_means(model: GraphModel, samples: Samples) -> dict[str, _Means]:
    """By the outputs of layers whose matrix nobody else reads."""
    readers = [layer.name for layer in layers(model.graph)]
    nodes = {
        node.outputs[0]
        for node in model.graph.nodes
        if "weight" in node.attributes
        and node.op in PRODUCTS
        and readers.count(str(node.attributes["weight"])) == 1
    }
    found: dict[str, list[np.ndarray]] = {}

    def see(node: Node, y: np.ndarray) -> None:
        if node.outputs[0] in nodes:
            found.setdefault(node.outputs[0], []).append(_mean(y))

    for sample in samples:
        run(model.graph, model, sample, seen=see)
    return {name: _split(means) for name, means in found.items()}


def _mean(y: np.ndarray) -> np.ndarray:
    mean: np.ndarray = y.reshape(-1, y.shape[-1]).mean(axis=0, dtype=np.float64)
    return mean


def _split(means: list[np.ndarray]) -> _Means:
    if len(means) < HELD_OUT:
        return _Means(np.mean(means, axis=0), np.mean(means, axis=0))
    fit = [mean for i, mean in enumerate(means) if i % HELD_OUT]
    return _Means(np.mean(fit, axis=0), np.mean(means[::HELD_OUT], axis=0))


def _shift(node: Node, values: list[Values], wanted: _Means) -> np.ndarray | None:
    """float32 [channels]."""
    found = _split([_mean(known[node.outputs[0]]) for known in values])
    shift = wanted.fit - found.fit
    moved = wanted.held_out - found.held_out
    if not np.square(moved - shift).sum() < np.square(moved).sum():
        return None
    rounded: np.ndarray = shift.astype(np.float32)
    return rounded
