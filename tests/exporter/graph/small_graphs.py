"""Small graphs of edge's own layers, as passes leave them."""

import numpy as np

from edge.exporter.graph.model import GraphModel, Matrix
from edge.exporter.graph.samples import Samples
from edge.format.graph import Graph, Node, Value

WINDOW = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}


def matrix(random, rows, columns, scale=0.2, bias=True):
    weight = (scale * random.normal(size=(rows, columns))).astype(np.float32)
    return Matrix(weight, random.normal(size=rows).astype(np.float32) if bias else None, source="w")


def conv(x, y, weight, channels, **settings):
    return Node(
        "edge.Conv", (x,), (y,), {**WINDOW, "weight": weight, "channels": channels, **settings}
    )


def linear(x, y, weight):
    return Node("edge.Linear", (x,), (y,), {"weight": weight})


def stack(seed=0, width=64, layers=3):
    """x [N, width] -> linear -> Relu -> linear -> ... -> y."""
    random = np.random.default_rng(seed)
    nodes, matrices, value = [], {}, "x"
    for i in range(layers):
        last = i == layers - 1
        nodes.append(linear(value, "y" if last else f"a{i}", f"fc{i}"))
        matrices[f"fc{i}"] = matrix(random, width, width)
        if not last:
            nodes.append(Node("Relu", (f"a{i}",), (f"b{i}",)))
            value = f"b{i}"
    inputs, outputs = (Value("x", "float32", ("N", width)),), (Value("y", "float32"),)
    return GraphModel(Graph(inputs, outputs, tuple(nodes)), matrices)


def convolutions(seed=0):
    """x [N, 6, 6, 3] -> 3x3 -> Relu -> depthwise -> Relu -> 3x3 -> y [N, 6, 6, 24]."""
    random = np.random.default_rng(seed)
    matrices = {
        "stem": matrix(random, 32, 9 * 16),
        "last": matrix(random, 24, 9 * 32),
    }
    matrices["stem"].weight.reshape(32, 9, 16)[..., 3:] = 0
    constants = {
        "dw": random.normal(size=(3, 3, 32)).astype(np.float32),
        "dw_bias": random.normal(size=32).astype(np.float32),
    }
    settings = {key: WINDOW[key] for key in ("strides", "pads", "dilations")}
    nodes = (
        conv("x", "a", "stem", 3),
        Node("Relu", ("a",), ("b",)),
        Node("edge.Depthwise", ("b", "dw", "dw_bias"), ("c",), settings),
        Node("Relu", ("c",), ("d",)),
        conv("d", "y", "last", 32),
    )
    inputs, outputs = (Value("x", "float32", ("N", 6, 6, 3)),), (Value("y", "float32"),)
    return GraphModel(Graph(inputs, outputs, nodes, constants), matrices)


def samples(model, count=8, seed=1, rows=16, low=None):
    """Normal numbers; from `low` on if it is given."""
    random = np.random.default_rng(seed)
    value = model.graph.inputs[0]
    shape = (rows if len(value.shape) == 2 else 2, *value.shape[1:])
    items = [random.normal(size=shape) for _ in range(count)]
    if low is not None:
        items = [np.abs(x) + low for x in items]
    return Samples(tuple({"x": x.astype(np.float32)} for x in items), "samples")
