"""A graph of operators as data: what `graph.json` says, and its constants.

Operators are ONNX's, of the newest version of each that edge knows (exporter/graph/upgrade.py lifts
older ones), and edge's own, whose names begin with "edge.":

    edge.Linear     x [..., columns] -> W x + bias [..., rows], by the matrix NAME.weight of the file
    edge.Embedding  ids [...] -> rows of the matrix [..., columns]
    edge.Conv       x [N, H, W, C] -> [N, H', W', rows], channels last; columns of the matrix are
                    [kernel height, kernel width, C padded to 16]
    edge.Depthwise  a convolution of each channel alone, channels last, by a constant [kh, kw, C]
    edge.Attention  softmax(scale Q K^T + mask) V
    edge.LSTM, edge.GRU   ONNX's, one direction, from what the input gives to each gate on; the
                    matrix [gates x H, H] multiplies the state
    edge.MaxPool, edge.AveragePool, edge.DepthToSpace   ONNX's, channels last

runtime/host_ops (edge_ops.py, recurrent.py) defines them and their attributes in NumPy.

A constant is an array of any rank.  The file has all of them in one tensor of bytes,
`graph.constants`, each from a multiple of 64 bytes on.  Types that NumPy lacks (bfloat16, the small
floats, integers of 4 and 2 bits) are held as the next wider type that it has; their names occur as
attributes of casts and in what the graph says of its inputs and outputs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

GRAPH, CONSTANTS = "graph.json", "graph.constants"
OWN = "edge."  # begins the names of edge's own operators

Dimension = int | str | None  # a number, the name of one that inputs share, or unknown
Attribute = Any  # int, float, str, np.ndarray, Graph, or a tuple of int, float or str


@dataclass(frozen=True)
class Value:
    """What goes into a graph or comes out of it.

    dtype  NumPy's name of an element's type, "string", "bfloat16", "float8e4m3fn", ...;
           "sequence(float32)", "optional(float32)"
    shape  None where even the rank is unknown
    """

    name: str
    dtype: str
    shape: tuple[Dimension, ...] | None = None


@dataclass(frozen=True)
class Node:
    """One operator.  "" among inputs or outputs: an optional one that is not there."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    name: str = ""  # for people

    @property
    def graphs(self) -> Iterator["Graph"]:
        """Of control flow."""
        return (value for value in self.attributes.values() if isinstance(value, Graph))

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}" if self.name else f"{self.op} of {self.outputs[0]!r}"


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can run.

    A graph inside a node (a branch, the body of a loop) also sees the values around it, by name.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def captured(self) -> tuple[str, ...]:
        """Names of values that it takes from around it."""
        known = {value.name for value in self.inputs} | set(self.constants)
        wanted: dict[str, None] = {}
        for node in self.nodes:
            inner = [name for graph in node.graphs for name in graph.captured]
            wanted |= dict.fromkeys(n for n in (*node.inputs, *inner) if n and n not in known)
            known |= set(node.outputs)
        wanted |= dict.fromkeys(v.name for v in self.outputs if v.name not in known)
        return tuple(wanted)

    def walk(self) -> Iterator[Node]:
        """Its nodes and those of the graphs inside them."""
        for node in self.nodes:
            yield node
            for graph in node.graphs:
                yield from graph.walk()
