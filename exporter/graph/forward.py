"""A model that is being lowered, run in NumPy: as it is in floats, or as it is about to be stored.

With edge's own definitions of operators (runtime/host_ops), so that calibration needs no other
package; a node at a time, so that what layers read can be seen or changed on the way.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edge.format.graph import Graph, Node
from edge.format.reader import EdgeFile
from edge.runtime.graph.interpreter import call
from edge.runtime.graph_model import GraphModel as Stored

Values = dict[str, Any]


class Weights(Protocol):
    """Where operators find their matrices; a GraphModel is one."""

    def dense(self, name: str) -> tuple[np.ndarray, np.ndarray | None]: ...


Change = Callable[[Node, np.ndarray], np.ndarray]  # what a layer reads instead of its input
Seen = Callable[[Node, np.ndarray], None]  # what a layer made


def run(
    graph: Graph,
    weights: Weights,
    inputs: Mapping[str, Any],
    change: Change | None = None,
    seen: Seen | None = None,
) -> dict[str, Any]:
    """Outputs by name.  `change` sees what each layer with a matrix reads, `seen` what it makes."""
    values = begin(graph, inputs)
    last = last_readers(graph)
    for at, node in enumerate(graph.nodes):
        step(node, values, weights, change)
        if seen is not None and "weight" in node.attributes:
            seen(node, values[node.outputs[0]])
        for name in last.get(at, ()):
            del values[name]
    return {value.name: values[value.name] for value in graph.outputs}


def begin(graph: Graph, inputs: Mapping[str, Any]) -> Values:
    return {"": None, **graph.constants, **inputs}


def step(node: Node, values: Values, weights: Weights, change: Change | None = None) -> None:
    """Run one node; `values` gain what it makes."""
    given = [values[name] for name in node.inputs]
    if change is not None and "weight" in node.attributes:
        given[0] = change(node, given[0])
    results = call(node, given, values, weights)
    values.update(zip(node.outputs, results, strict=False))
    values[""] = None


def last_readers(graph: Graph) -> dict[int, list[str]]:
    """By the index of a node, what nobody reads after it."""
    wanted = {value.name for value in graph.outputs} | {""}
    last: dict[int, list[str]] = {}
    for at in reversed(range(len(graph.nodes))):
        node = graph.nodes[at]
        read = {*node.inputs, *node.outputs, *_inside(node)}
        last[at] = [name for name in read if name not in wanted]
        wanted |= read
    return last


def _inside(node: Node) -> Iterator[str]:
    return (name for graph in node.graphs for name in graph.captured)


def run_file(path: Path, samples: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Outputs by name of a file that was written, as a device computes them."""
    with closing(Stored(EdgeFile(path))) as model:
        names = [value.name for value in model.graph.outputs]
        for sample in samples:
            yield dict(zip(names, model.run(dict(sample)), strict=True))
