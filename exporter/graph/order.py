"""The order in which a model's nodes can run."""

import heapq
from collections.abc import Iterable, Iterator, Mapping

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

from edge.errors import SourceError

SHOWN = 4  # nodes of a cycle


def put_in_order(model: ModelProto, where: str) -> None:
    """Nodes after those whose values they read, also in graphs inside nodes.

    Raises SourceError for a cycle, a name that two values have, one that is read and not there.
    """
    _order(model.graph, frozenset(), where)
    for function in model.functions:
        inside = f"{where}: function {function.name!r:.80}"
        known = frozenset(function.input)
        nodes = _ordered(list(function.node), known, inside)
        del function.node[:]
        function.node.extend(nodes)


def _order(graph: GraphProto, around: frozenset[str], where: str) -> None:
    own = [value.name for value in graph.input]
    _check_unique(own, "inputs", where)
    tensors = [t.name for t in graph.initializer] + [
        s.values.name for s in graph.sparse_initializer
    ]
    _check_unique(tensors, "tensors", where)
    known = around.union(own, tensors)
    nodes = _ordered(list(graph.node), known, where)
    if nodes != list(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)
    made = known.union(name for node in graph.node for name in node.output)
    for node in graph.node:
        for inner in inner_graphs(node):
            _order(inner, made, where)
    for output in graph.output:
        if output.name not in made:
            raise SourceError(f"{where}: output {output.name!r:.80}: no node makes it")


def _check_unique(names: list[str], what: str, where: str) -> None:
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise SourceError(f"{where}: two {what} are called {twice!r:.80}")


def _ordered(nodes: list[NodeProto], known: frozenset[str], where: str) -> list[NodeProto]:
    """As they are, where that is possible; else each as early as it was."""
    makers = _makers(nodes, known, where)
    waits: list[set[int]] = []
    readers: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        names = [name for name in reads(node) if name not in known]
        for name in names:
            if name not in makers:
                raise SourceError(f"{where}: {said(node)} reads {name!r:.80}, which is not there")
        waits.append({makers[name] for name in names})
        for maker in waits[i]:
            readers.setdefault(maker, []).append(i)
    ready = [i for i, found in enumerate(waits) if not found]
    heapq.heapify(ready)
    order = []
    while ready:
        done = heapq.heappop(ready)
        order.append(done)
        for i in readers.get(done, ()):
            waits[i].discard(done)
            if not waits[i]:
                heapq.heappush(ready, i)
    if len(order) < len(nodes):
        raise SourceError(f"{where}: {_cycle(nodes, waits)}")
    return [nodes[i] for i in order]


def _makers(nodes: list[NodeProto], known: frozenset[str], where: str) -> Mapping[str, int]:
    """Which node makes a value."""
    makers: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in makers or name in known:
                raise SourceError(
                    f"{where}: {said(node)} makes {name!r:.80}, which is there already"
                )
            makers[name] = i
    return makers


def _cycle(nodes: list[NodeProto], waits: list[set[int]]) -> str:
    """A cycle of the nodes that still wait."""
    at = next(i for i, found in enumerate(waits) if found)
    path: list[int] = []
    while at not in path:
        path.append(at)
        at = min(waits[at])
    cycle = [said(nodes[i]) for i in (*path[path.index(at) :][:SHOWN], at)]
    return f"a cycle: {' waits for '.join(cycle)}"


def reads(node: NodeProto) -> Iterator[str]:
    """Names of values that a node reads, also those that graphs inside it take from around it."""
    yield from filter(None, node.input)
    for graph in inner_graphs(node):
        own = set(defined(graph))
        inner = (name for inside in graph.node for name in reads(inside))
        outputs = (value.name for value in graph.output)
        yield from (name for name in (*inner, *outputs) if name not in own)


def inner_graphs(node: NodeProto) -> Iterable[GraphProto]:
    for a in node.attribute:
        if a.type == AttributeProto.GRAPH:
            yield a.g
        elif a.type == AttributeProto.GRAPHS:
            yield from a.graphs


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """It and those inside of its nodes."""
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from graphs(inner)


def walk(graph: GraphProto) -> Iterator[NodeProto]:
    """Its nodes and those of the graphs inside them."""
    return (node for inner in graphs(graph) for node in inner.node)


def defined(graph: GraphProto) -> Iterator[str]:
    """Names that come to be in a graph, without those of graphs inside it."""
    yield from (value.name for value in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    yield from (name for node in graph.node for name in node.output if name)


def said(node: NodeProto) -> str:
    """A node, in errors."""
    return f"{node.op_type} {node.name or ', '.join(node.output)!r:.80}"
