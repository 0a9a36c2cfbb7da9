"""A graph for its user, with the calls of an ONNX Runtime session."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.format.graph import Value
from edge.opening import open_as
from edge.runtime.graph_model import GraphModel


def load(path: str | Path, **settings: Any) -> "GraphSession":
    return GraphSession(GraphModel(open_as(path, "graph"), **settings))


class GraphSession:
    """Runs a graph: `session.run(None, {"input": x})`."""

    def __init__(self, model: GraphModel):
        self.model = model

    def get_inputs(self) -> list[Value]:
        return list(self.model.graph.inputs)

    def get_outputs(self) -> list[Value]:
        return list(self.model.graph.outputs)

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        """The outputs of these names, or all in the graph's order."""
        results = self.model.run(dict(feeds))
        by_name = dict(zip((v.name for v in self.model.graph.outputs), results, strict=True))
        return [by_name[name] for name in output_names or by_name]
