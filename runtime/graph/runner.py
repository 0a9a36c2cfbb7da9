"""Runs a graph: binds stretches of it to the shapes it meets, and keeps what it has bound."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge.errors import EdgeError, FormatError
from edge.format.graph import Graph, Node
from edge.format.reader import EdgeFile

from ..libraries.library import Library
from ..lowering.weights import Weights
from ..plan import Arena
from ..team import Team
from .branches import Branches
from .facts import Fact, fact, outcome, size_values
from .interpreter import Scope, call
from .lowering import Stretch
from .matrices import FileMatrices
from .program import Program

NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)
KEPT = 8  # programs of one place in a graph: as many shapes as are met in turn


class Engine:
    """What all graphs of a model share: kernels, threads, constants and the file's matrices."""

    def __init__(
        self, file: EdgeFile, library: Library, threads: int, constants: Mapping[str, np.ndarray]
    ):
        self.file, self.library, self.threads = file, library, threads
        self.constants = constants
        self.matrices = FileMatrices(file)
        self._runners: dict[int, Runner] = {}
        self._team: Team | None = None
        self._scratch = 0
        self._active = threads

    @property
    def has_kernels(self) -> bool:
        """NumPy's library would only be a slower way to the operators in NumPy."""
        return self.library.source != "numpy"

    def runner(self, graph: Graph) -> "Runner":
        if id(graph) not in self._runners:
            self._runners[id(graph)] = Runner(graph, self)
        return self._runners[id(graph)]

    def team(self, scratch: int) -> Team:
        """Threads with at least so much memory of their own each."""
        if self._team is None or scratch > self._scratch:
            self.renew()
            self._scratch = max(scratch, self._scratch, 2**16)
            self._team = Team(self.library, self.threads, self._scratch)
            self._team.keep(self.file, *self.programs())
            self._team.resize(self._active)
        return self._team

    def renew(self) -> None:
        """Let go of threads, and with them of programs that nobody but they knew any more."""
        if self._team is not None:
            self._team.close()
            self._team = None

    def programs(self) -> Iterator[Program]:
        """All that has been bound, and is kept."""
        for runner in self._runners.values():
            yield from runner.programs()

    def resize(self, threads: int) -> None:
        """Use this many of the threads from the next step on."""
        self._active = threads
        if self._team is not None:
            self._team.resize(threads)

    def close(self) -> None:
        self.renew()

    def call(self, node: Node, inputs: list[Any], around: Mapping[str, Any]) -> tuple[Any, ...]:
        """A node in NumPy."""
        return call(node, inputs, around, self.matrices, _Scope(around, self))

    def program(self, stretch: Stretch) -> Program:
        weights = Weights(self.file, Arena())
        program = Program(stretch, self.library, self.threads, weights, self.matrices)
        self.team(program.scratch_bytes).keep(program)
        return program


class _Scope(Scope):
    """Graphs inside of nodes, with kernels."""

    def __init__(self, values: Mapping[str, Any], engine: Engine):
        super().__init__(values, engine.matrices)
        self._engine = engine

    def run(self, graph: Graph, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [value.name for value in graph.inputs]
        runner = self._engine.runner(graph)
        return runner.run({**self._values, **dict(zip(names, inputs, strict=True))})


class Runner:
    """One graph, the model's own or one inside of a node."""

    def __init__(self, graph: Graph, engine: Engine):
        self.graph, self._engine = graph, engine
        given = {value.name for value in graph.inputs}
        self._constants = engine.constants.keys() - given
        self._sizes = size_values(graph, self._constants)
        self._branches = Branches(graph)
        self._reads = _reads(graph)
        self._varying = [[n for n in names if n not in self._constants] for names in self._reads]
        self._programs: dict[int, OrderedDict[Any, tuple[Program, int] | None]] = {}

    def run(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The outputs, for values by name that have the inputs and what it captures."""
        known: dict[str, Any] = {**self.graph.constants, **values}
        at, nodes = 0, self.graph.nodes
        while at < len(nodes):
            found = self._program(at, known) if self._engine.has_kernels else None
            if found is None:
                self._call(nodes[at], known)
                at += 1
                continue
            program, at = found
            team = self._engine.team(program.scratch_bytes)
            known.update(program.run(known, team, self._engine.call))
        return tuple(known[value.name] for value in self.graph.outputs)

    def programs(self) -> Iterator[Program]:
        for bound in self._programs.values():
            yield from (found[0] for found in bound.values() if found is not None)

    def _call(self, node: Node, known: dict[str, Any]) -> None:
        inputs = [known[name] if name else None for name in node.inputs]
        results = self._engine.call(node, inputs, known)
        known.update((n, r) for n, r in zip(node.outputs, results, strict=False) if n)

    def _program(self, at: int, known: Mapping[str, Any]) -> tuple[Program, int] | None:
        """What runs from node `at` on, and where it ends; None if the node has to run alone."""
        key = tuple(self._key(name, known[name]) for name in self._varying[at] if name in known)
        programs = self._programs.setdefault(at, OrderedDict())
        if key not in programs:
            programs[key] = self._bound(at, known)
            if len(programs) > KEPT:
                programs.popitem(last=False)
                self._engine.renew()
        programs.move_to_end(key)
        return programs[key]

    def _key(self, name: str, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return type(value)
        content = value.tobytes() if name in self._sizes and value.dtype != object else None
        return value.shape, value.dtype, content

    def _bound(self, at: int, known: Mapping[str, Any]) -> tuple[Program, int] | None:
        try:
            return self._bind(at, known)
        except EdgeError:
            raise
        except NONSENSE as error:
            path = self._engine.file.path
            raise FormatError(
                f"{path}: the graph cannot be bound to these inputs: {error}; it is broken, or is "
                "not for such inputs"
            ) from error

    def _bind(self, at: int, known: Mapping[str, Any]) -> tuple[Program, int] | None:
        facts: dict[str, Fact | None] = {
            name: fact(value, name in self._constants or name in self._sizes)
            for name, value in known.items()
        }
        end, nodes = at, list[Node]()
        for node in self.graph.nodes[at:]:
            found = self._followed(node, facts)
            if found is None:
                break
            nodes += found
            end += 1
        if end == at:
            return None
        made = {name for node in nodes for name in node.outputs if name}
        stretch = Stretch(nodes, facts, frozenset(made & self._reads_after(end)))
        return self._engine.program(stretch), end

    def _followed(self, node: Node, facts: dict[str, Fact | None]) -> list[Node] | None:
        """The node, or the nodes of the branch that it takes; `facts` gain what they make.

        None if that shows only when it has run.
        """
        branch = self._branches.taken(node, facts)
        if branch is None:
            found = outcome(node, facts, self._sizes, self._engine.matrices)
            if found is None:
                return None
            facts.update((n, f) for n, f in zip(node.outputs, found, strict=False) if n)
            return [node]
        nodes: list[Node] = []
        for inner in branch:
            followed = self._followed(inner, facts)
            if followed is None:
                return None
            nodes += followed
        return nodes

    def _reads_after(self, end: int) -> set[str]:
        return set(self._reads[end])


def _reads(graph: Graph) -> list[tuple[str, ...]]:
    """For each node: names that it or a later one reads, or the graph gives."""
    names = dict.fromkeys(value.name for value in graph.outputs)
    found = [tuple(names)]
    for node in reversed(graph.nodes):
        inner = (name for graph in node.graphs for name in graph.captured)
        names |= dict.fromkeys(name for name in (*node.inputs, *inner) if name)
        found.append(tuple(names))
    return found[::-1]
