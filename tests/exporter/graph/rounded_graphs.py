"""What a quantized graph computes, in float arithmetic."""

import numpy as np

from edge.exporter.graph.activity import observe
from edge.exporter.graph.equalize import equalize
from edge.exporter.graph.fallback import relative
from edge.exporter.graph.forward import run
from edge.exporter.graph.plan import plan
from edge.exporter.graph.quantization import quantize_graph
from edge.exporter.language import parse


def quantized(model, text, data=None):
    recipe = parse(text, graph=True)
    if "equalize" in recipe.transforms:
        model = equalize(model)
    activity = {} if data is None else observe(model, data)
    return quantize_graph(model, plan(model, recipe), activity)


def outputs(found, data):
    """Of the quantized graph: weights and activations rounded, in float arithmetic."""
    return [run(found.model.graph, found, sample, found.read)["y"] for sample in data]


def floats(model, data):
    return [run(model.graph, model, sample)["y"] for sample in data]


def error(model, found, data):
    pairs = zip(floats(model, data), outputs(found, data), strict=True)
    return np.mean([relative({"y": y}, {"y": z}) for y, z in pairs])
