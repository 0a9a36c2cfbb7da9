"""Nodes whose shapes are known become units: kernels' where there is one, else operators in NumPy."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edge.errors import FormatError
from edge.format.graph import Node

from ..lowering.weights import Weights
from .expressions import EXPRESSIONS, Term
from .facts import Fact
from .matrices import FileMatrices
from .storage import Buffer, Place, place
from .units.chain import Chain, Instruction, Operand
from .units.host import Host
from .units.unit import Unit

FLOAT32 = np.dtype(np.float32)


@dataclass
class Stretch:
    """Nodes in order, what is known of every value they see, and who else reads which."""

    nodes: list[Node]
    facts: Mapping[str, Fact | None]
    wanted: frozenset[str]  # read after the last of them
    readers: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.readers = Counter(self.wanted)
        for node in self.nodes:
            self.readers.update(filter(None, node.inputs))
            for graph in node.graphs:
                self.readers.update(graph.captured)


class Lowering:
    """Units of a stretch, as they are made one after the other.

    places   of values that lie in the arena; others are arrays
    lazy     elementwise values that nobody has needed yet
    """

    def __init__(self, stretch: Stretch, weights: Weights, matrices: FileMatrices):
        self.stretch, self.weights, self.matrices = stretch, weights, matrices
        self.units: list[Unit | Host] = []
        self.places: dict[str, Place] = {}
        self.lazy: dict[str, Instruction] = {}
        self._operands: dict[str, Operand] = {}
        self._makers: dict[Buffer, Unit] = {}

    def lower(self) -> None:
        for node in self.stretch.nodes:
            if any(name and self._value(name) is None for name in node.outputs):
                self._lower(node)
        for name in self.stretch.wanted & self.lazy.keys():
            self.settle(name)

    def _lower(self, node: Node) -> None:
        handler = HANDLERS.get(node.op)
        if handler is not None and self._is_float(node) and handler(self, node):
            return
        for name in self._reads(node):
            self.settle(name)
        self.units.append(Host(node))

    def _reads(self, node: Node) -> list[str]:
        inner = [name for graph in node.graphs for name in graph.captured]
        return [*filter(None, node.inputs), *inner]

    def _is_float(self, node: Node) -> bool:
        """Whether what it makes is something that kernels make."""
        facts = [self.fact(name) for name in node.outputs if name]
        return all(
            f is not None and f.dtype == FLOAT32 and f.shape and 0 not in f.shape for f in facts
        )

    def fact(self, name: str) -> Fact | None:
        return self.stretch.facts.get(name)

    def shape(self, name: str) -> tuple[int, ...]:
        found = self.fact(name)
        assert found is not None
        return found.shape

    def _value(self, name: str) -> np.ndarray | None:
        found = self.fact(name)
        return None if found is None else found.value

    def constant(self, name: str) -> np.ndarray | None:
        """The value, where it does not depend on inputs."""
        return self._value(name) if name else None

    def is_float(self, *names: str) -> bool:
        """Whether kernels can read these."""
        facts = [self.fact(name) for name in names]
        return all(f is not None and f.dtype == FLOAT32 and 0 not in f.shape for f in facts)

    def is_alone(self, name: str) -> bool:
        """Whether one node reads the value."""
        return self.stretch.readers[name] == 1

    # --- places -----------------------------------------------------------------------------------

    def at(self, name: str) -> Place:
        """Where a value lies in the arena, from now on if it did not before."""
        if name in self.lazy:
            self.settle(name)
        if name not in self.places:
            shape = self.shape(name)
            self.places[name] = place(shape or (1,))
        return self.places[name]

    def new(self, node: Node, output: int = 0) -> Place:
        name = node.outputs[output]
        self.places[name] = place(self.shape(name))
        return self.places[name]

    def add(self, unit: Unit) -> None:
        self.units.append(unit)
        self._makers[unit.out.buffer] = unit

    def maker(self, name: str) -> Unit | None:
        """The unit that made a value of the arena; None for another view of what it made."""
        place = self.places.get(name)
        unit = None if place is None else self._makers.get(place.buffer)
        return unit if unit is not None and unit.out is place else None

    def postpone(self, unit: Unit) -> None:
        """Let a unit that nobody has read from yet come last."""
        self.units.remove(unit)
        self.units.append(unit)

    # --- elementwise ------------------------------------------------------------------------------

    def settle(self, name: str) -> None:
        """Compute an elementwise value, if that has been put off."""
        if name in self.lazy:
            root = self.lazy.pop(name)
            self.places[name] = place(self.shape(name))
            self.add(Chain(self.places[name], root))

    def express(self, node: Node) -> Instruction | None:
        """The node's value, to be computed with what reads it; None if it has to be in NumPy."""
        build = EXPRESSIONS[node.op]
        terms = [self._term(name, node) for name in node.inputs]
        root = build(node, terms)
        shape = self.shape(node.outputs[0])
        if root is not None and Chain(place(shape), root).fits:
            return root
        for name in node.inputs:  # perhaps what it reads was too much
            if name:
                self.settle(name)
        root = build(node, [self._term(name, node) for name in node.inputs])
        return root if root is not None and Chain(place(shape), root).fits else None

    def _term(self, name: str, node: Node) -> Term | None:
        if not name:
            return None
        constant = self._value(name)
        if constant is not None:
            return self._operand(name, lambda: Operand(None, constant))
        shape = self.shape(node.outputs[0])
        if name in self.lazy and self.shape(name) == shape and self.is_alone(name):
            return self.lazy[name]
        return self._operand(name, lambda: Operand(self.at(name)))

    def _operand(self, name: str, make: Callable[[], Operand]) -> Operand:
        if name not in self._operands:
            self._operands[name] = make()
        return self._operands[name]

    def real(self, node: Node, key: str, default: float | None = None) -> float:
        """An attribute that is a number."""
        value = node.attributes.get(key, default)
        if type(value) not in (int, float) or not abs(value) < 1e30:
            raise self.broken(node, f"a number as {key!r}", value)
        return float(value)

    def broken(self, node: Node, expected: str, found: object) -> FormatError:
        return FormatError(f"{node}: expected {expected}, found {found!r:.100}")


Handler = Callable[[Lowering, Node], bool]
HANDLERS: dict[str, Handler] = {}


def handles(*ops: str) -> Callable[[Handler], Handler]:
    """Register what lowers nodes of these operators; it returns whether a kernel does."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(ops, handler))
        return handler

    return register


def touched(unit: Unit | Host, places: Mapping[str, Place]) -> Iterable[Buffer]:
    """Buffers that a unit reads or writes."""
    if isinstance(unit, Unit):
        return unit.buffers()
    inner = [name for graph in unit.node.graphs for name in graph.captured]
    names = (*unit.node.inputs, *unit.node.outputs, *inner)
    return [places[name].buffer for name in names if name in places]
