"""A graph in a file: scores = x + bias, of rows that have a mask; and how many rows count."""

from pathlib import Path

import numpy as np

from edge.format.formats import ALIGNMENT
from edge.format.graph import CONSTANTS, GRAPH, Graph, Node, Value
from edge.format.graph_config import GraphConfig
from edge.format.graph_json import encode
from edge.format.writer import EdgeWriter

BIAS = np.array([0.5, -1.0, 2.0], np.float32)
SMALL = Graph(
    inputs=(Value("x", "float32", ("rows", 3)), Value("mask", "int64", ("rows",))),
    outputs=(Value("scores", "float32", ("rows", 3)), Value("../count", "int64", ())),
    nodes=(
        Node("Add", ("x", "bias"), ("scores",), {}, "adding"),
        Node("ReduceSum", ("mask",), ("../count",), {"keepdims": 0}),
    ),
    constants={"bias": BIAS},
    metadata={"character": "a\nb"},
)


def write(path: Path, graph: Graph = SMALL) -> Path:
    document = {
        "kind": "graph",
        "config": GraphConfig("small", len(graph.nodes), 17),
        "recipe": "float32",
        "source": {"name": "small.onnx", "sha256": "0" * 64},
        "parameters": sum(array.size for array in graph.constants.values()),
        "tokenizer": None,
        "generation": None,
    }
    text, constants = encode(graph)
    with EdgeWriter(path, 2) as writer:
        writer.add_bytes(GRAPH, text)
        writer.add_bytes(CONSTANTS, constants or bytes(ALIGNMENT))
        writer.document = document
    return path
