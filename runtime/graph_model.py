"""A graph in memory: a mapped file and how it is run."""

from typing import Any

from edge.format.graph import CONSTANTS, GRAPH
from edge.format.graph_json import decode
from edge.format.reader import EdgeFile

from .graph import interpreter
from .graph.matrices import FileMatrices
from .graph.widened import widened
from .model import usable_cores


class GraphModel:
    """A graph ready to run.

    threads   defaults to the cores this process may use

    Raises FormatError, UnsupportedModel.
    """

    def __init__(self, file: EdgeFile, *, threads: int | None = None):
        self.file = file
        self.threads = threads or usable_cores()
        stored = decode(file.read_bytes(GRAPH), file.view(CONSTANTS), str(file.path))
        self.graph = widened(stored)
        self._matrices = FileMatrices(file)

    def run(self, inputs: dict[str, Any]) -> tuple[Any, ...]:
        """Every output, in the graph's order; inputs have been checked."""
        self.file.check_size()
        return interpreter.run(self.graph, inputs, self._matrices)

    def close(self) -> None:
        """Nothing is held but the mapped file, which goes with the last that reads it."""
