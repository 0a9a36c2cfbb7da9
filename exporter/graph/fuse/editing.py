"""A graph while a pass replaces nodes of it."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.format.graph import Graph, Node

from ..model import GraphModel, Matrix
from ..symbolic import Shapes
from ..symbolic.dimensions import Shape

WITH_MATRIX = ("edge.Linear", "edge.Conv", "edge.Embedding", "edge.LSTM", "edge.GRU")


@dataclass
class Model:
    """What all graphs of a model share while it is rewritten.

    names  of values and constants
    uses   how many nodes read a constant or a matrix
    """

    constants: dict[str, np.ndarray]
    matrices: dict[str, Matrix]
    names: set[str]
    uses: Counter[str]
    changed: bool = False

    def fresh(self, like: str) -> str:
        """A name that no value and no constant has."""
        name = _unlike(like, self.names)
        self.names.add(name)
        return name

    def fresh_matrix(self, like: str) -> str:
        return _unlike(like, self.matrices)


def _unlike(like: str, taken: Container[str]) -> str:
    name, count = like, 1
    while name in taken:
        count += 1
        name = f"{like}_{count}"
    return name


class Editing:
    """One graph: who makes a value, who reads it, and nodes to replace.

    A node whose outputs nobody reads any more goes at once.
    """

    def __init__(self, graph: Graph, model: Model, around: Shapes | None = None):
        self.graph, self.model = graph, model
        self.shapes = Shapes(model.constants, model.matrices) if around is None else _inside(around)
        self.outputs = {value.name for value in graph.outputs}
        self.moved: set[str] = set()  # values that `put` has written a Transpose for
        self._makers: dict[str, Node] = {}
        self._readers: dict[str, dict[int, Node]] = {}
        self._now: dict[int, list[Node]] = {}  # what stands where a node stood, by its id
        self._kept_alive = list(graph.nodes)  # so that no id is used again
        self._ordered = list(graph.nodes)
        for value in graph.inputs:
            self.shapes.enter(value, inside=around is not None)
        for node in graph.nodes:
            self._enter(node)

    def __iter__(self) -> Iterator[Node]:
        """The nodes that are there now, without those that others have replaced in between."""
        for node in self.nodes():
            if id(node) not in self._now:
                yield node

    def nodes(self) -> list[Node]:
        """In their order, those that have replaced others where these were."""
        waiting, found = self._ordered[::-1], []
        while waiting:
            node = waiting.pop()
            if id(node) in self._now:
                waiting += reversed(self._now[id(node)])
            else:
                found.append(node)
        self._ordered = found
        return list(found)

    # --- to look ----------------------------------------------------------------------------------

    def maker(self, name: str, *ops: str) -> Node | None:
        """The node that makes a value, if it is in this graph and one of these operators."""
        node = self._makers.get(name)
        return node if node is not None and (not ops or node.op in ops) else None

    def readers(self, name: str) -> list[Node]:
        """Nodes that read a value, also through graphs inside them; each once."""
        return list(self._readers.get(name, {}).values())

    def reader(self, name: str, *ops: str) -> Node | None:
        """The one node that reads a value, if nobody else does and it is one of these operators."""
        readers = self.readers(name)
        if len(readers) != 1 or name in self.outputs or name not in readers[0].inputs:
            return None
        return readers[0] if not ops or readers[0].op in ops else None

    def only(self, name: str, readers: Sequence[Node]) -> bool:
        """Whether nobody but these reads a value."""
        known = {id(node) for node in readers}
        return name not in self.outputs and set(self._readers.get(name, {})) <= known

    @property
    def constants(self) -> dict[str, np.ndarray]:
        return self.model.constants

    def constant(self, name: str) -> np.ndarray | None:
        return self.constants.get(name)

    def scalar(self, name: str) -> float | None:
        """The value of a constant of one element."""
        array = self.constant(name)
        if array is None or array.size != 1 or array.dtype.kind not in "fiu":
            return None
        return float(array.reshape(()))

    def integers(self, name: str) -> tuple[int, ...] | None:
        return self.shapes.integers(name)

    def shape(self, name: str) -> Shape | None:
        return self.shapes.of(name)

    def rank(self, name: str) -> int | None:
        shape = self.shape(name)
        return None if shape is None else len(shape)

    # --- to change --------------------------------------------------------------------------------

    def add_constant(self, like: str, array: np.ndarray) -> str:
        name = self.model.fresh(like)
        self.constants[name] = array
        return name

    def add_integers(self, like: str, values: Sequence[int]) -> str:
        return self.add_constant(like, np.array(values, np.int64))

    def node(self, op: str, inputs: Sequence[str], like: str, **attributes: Any) -> Node:
        """A node with one output, of a name of its own; it is not in the graph yet."""
        made = Node(op, tuple(inputs), (self.model.fresh(like),), attributes, like)
        self.shapes.infer(made)
        return made

    def replace(self, old: Node, *new: Node) -> None:
        """Put nodes where one was; the new ones make what of its outputs is still wanted."""
        self.model.changed = True
        self._remove(old, new)
        for node in new:
            self._kept_alive.append(node)
            self._enter(node)
        dead = self._forget(old)
        while dead:
            node = dead.pop()
            if id(node) not in self._now:
                self._remove(node)
                dead += self._forget(node)

    def _remove(self, node: Node, new: Sequence[Node] = ()) -> None:
        self._now[id(node)] = list(new)
        self.model.uses.update(_used(new))
        self.model.uses.subtract(_used([node]))
        for name in node.outputs:
            self._makers.pop(name, None)

    def become(self, old: Node, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Replace a node by one that makes the same outputs."""
        self.replace(old, Node(op, tuple(inputs), old.outputs, attributes, old.name))

    def bypass(self, node: Node, source: str) -> None:
        """Let readers of a node's output read `source` instead, which is the same."""
        name = node.outputs[0]
        through = [r for r in self.readers(name) if name in r.inputs and not any(r.graphs)]
        for reader in through:
            inputs = tuple(source if n == name else n for n in reader.inputs)
            self.replace(reader, replace(reader, inputs=inputs))
        if self.is_read(name) and (node.op != "Identity" or node.inputs != (source,)):
            self.become(node, "Identity", (source,))

    def is_read(self, name: str) -> bool:
        return name in self.outputs or bool(self._readers.get(name))

    def _enter(self, node: Node) -> None:
        self.shapes.infer(node)
        for name in filter(None, node.outputs):
            self._makers[name] = node
        for name in _read_by(node):
            self._readers.setdefault(name, {})[id(node)] = node

    def _forget(self, node: Node) -> list[Node]:
        """A node reads nothing any more: the nodes that nobody reads now."""
        dead = []
        for name in _read_by(node):
            self._readers.get(name, {}).pop(id(node), None)
            maker = self._makers.get(name)
            if maker is not None and not any(map(self.is_read, filter(None, maker.outputs))):
                dead.append(maker)
        return dead


def _inside(around: Shapes) -> Shapes:
    """What a graph inside a node knows of the values around it, apart from what it finds itself."""
    known = (dict(around.shapes), dict(around.elements), dict(around.dtypes))
    return Shapes(around.constants, around.matrices, *known)


def _read_by(node: Node) -> set[str]:
    inside = (name for graph in node.graphs for name in graph.captured)
    return {name for name in (*node.inputs, *inside) if name}


def _matrices(nodes: Iterable[Node]) -> Iterator[str]:
    """Names of those that nodes read."""
    return (str(n.attributes["weight"]) for n in nodes if n.op in WITH_MATRIX)


def _used(nodes: Iterable[Node]) -> Iterator[str]:
    """What nodes read, by name, without what graphs inside them read."""
    for node in nodes:
        yield from node.inputs
        yield from _matrices([node])


def rewrite(model: GraphModel, change: Callable[[Editing], None]) -> GraphModel:
    """Let `change` rewrite every graph of a model, again until it finds nothing more to do.

    Constants and matrices that nobody reads any more are dropped.
    """
    names = {name for graph in _graphs(model.graph) for name in _defined(graph)}
    uses = Counter(_used(model.graph.walk()))
    shared = Model(dict(model.graph.constants), dict(model.matrices), names, uses)
    graph = _rewritten(model.graph, shared, change, None)
    used = {n for g in _graphs(graph) for node in g.nodes for n in node.inputs}
    used |= {value.name for g in _graphs(graph) for value in g.outputs}
    constants = {name: array for name, array in shared.constants.items() if name in used}
    read = set(_matrices(graph.walk()))
    matrices = {name: matrix for name, matrix in shared.matrices.items() if name in read}
    return replace(model, graph=replace(graph, constants=constants), matrices=matrices)


def _rewritten(
    graph: Graph, model: Model, change: Callable[[Editing], None], around: Shapes | None
) -> Graph:
    edit = Editing(graph, model, around)
    while True:
        model.changed = False
        change(edit)
        if not model.changed:
            break
    nodes = []
    for node in edit.nodes():
        inside = {
            key: _rewritten(value, model, change, edit.shapes)
            for key, value in node.attributes.items()
            if isinstance(value, Graph)
        }
        nodes.append(replace(node, attributes={**node.attributes, **inside}) if inside else node)
    return replace(graph, nodes=tuple(_in_order(nodes)))


def _in_order(nodes: Sequence[Node]) -> list[Node]:
    """As they are, but none before those whose outputs it reads."""
    makers = {name: node for node in nodes for name in node.outputs if name}
    ordered: dict[int, Node] = {}

    def place(node: Node) -> None:
        if id(node) not in ordered:
            for name in _read_by(node):
                if name in makers:
                    place(makers[name])
            ordered[id(node)] = node

    for node in nodes:
        place(node)
    return list(ordered.values())


def _graphs(graph: Graph) -> Iterator[Graph]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.nodes:
        for inside in node.graphs:
            yield from _graphs(inside)


def _defined(graph: Graph) -> Iterator[str]:
    """Names that come to be in a graph, without those of graphs inside it."""
    yield from graph.constants
    yield from (value.name for value in graph.inputs)
    yield from (name for node in graph.nodes for name in node.outputs if name)
