"""A graph in memory: a mapped file and how it is run."""

from typing import Any

from edge.format.graph import CONSTANTS, GRAPH
from edge.format.graph_json import decode
from edge.format.reader import EdgeFile

from .graph import interpreter
from .graph.matrices import FileMatrices


class GraphModel:
    """A graph ready to run.

    Raises FormatError, UnsupportedModel.
    """

    def __init__(self, file: EdgeFile):
        self.file = file
        self.graph = decode(file.read_bytes(GRAPH), file.view(CONSTANTS), str(file.path))
        self._matrices = FileMatrices(file)

    def run(self, inputs: dict[str, Any]) -> tuple[Any, ...]:
        """Every output, in the graph's order; inputs have been checked."""
        self.file.check_size()
        return interpreter.run(self.graph, inputs, self._matrices)
