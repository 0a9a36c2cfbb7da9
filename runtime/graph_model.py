"""A graph in memory: a mapped file and how it is run."""

from collections.abc import Iterator
from typing import Any

from edge.format.graph import CONSTANTS, GRAPH
from edge.format.graph_json import decode
from edge.format.reader import EdgeFile

from .graph.program import Program
from .graph.runner import Engine
from .graph.widened import widened
from .libraries.choice import library
from .libraries.library import Library
from .model import check_counts, usable_cores
from .pace import Pace, paced


class GraphModel:
    """A graph ready to run.

    threads   defaults to the cores this process may use

    Raises FormatError, UnsupportedModel, DoesNotFit; EdgeError for a number below 1.
    """

    def __init__(
        self, file: EdgeFile, *, threads: int | None = None, kernels: Library | None = None
    ):
        check_counts(threads=threads)
        self.file = file
        self.threads = threads or usable_cores()
        stored = decode(file.read_bytes(GRAPH), file.view(CONSTANTS), str(file.path))
        self.graph = widened(stored)
        self.pace: Pace | None = None
        self._engine = Engine(file, kernels or library(), self.threads, self.graph.constants)

    def run(self, inputs: dict[str, Any]) -> tuple[Any, ...]:
        """Every output, in the graph's order; inputs have been checked."""
        self.file.check_size()
        results: list[tuple[Any, ...]] = []
        runner = self._engine.runner(self.graph)
        paced(self.pace, self._engine, 1, lambda: results.append(runner.run(inputs)))
        return results[0]

    @property
    def arena_bytes(self) -> int:
        """Working memory of all shapes that it is ready for."""
        return sum(program.nbytes for program in self.programs())

    def programs(self) -> Iterator[Program]:
        """What has been bound to shapes so far."""
        return self._engine.programs()

    def close(self) -> None:
        """End the threads; `run` must not be called again."""
        self._engine.close()
