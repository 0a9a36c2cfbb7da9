"""Small graphs to rewrite, and whether a rewritten one still computes the same."""

from dataclasses import replace
from typing import Any

import numpy as np

from edge.exporter.graph.fuse.editing import Editing, rewrite
from edge.exporter.graph.model import GraphModel
from edge.exporter.graph.symbolic.dimensions import Shape
from edge.format.graph import Dimension, Graph, Node, Value
from edge.runtime.graph.interpreter import call, run

SLACK = (
    8  # how much less exact than float32 a rewritten graph may be: its sums are in another order
)


class Building:
    """`b("Mul", "x", 0.5)` adds a node, and constants for what is no name; gives its output."""

    def __init__(self, dtype: str = "float32", **inputs: tuple[Dimension, ...] | None):
        self.inputs = tuple(Value(name, dtype, shape) for name, shape in inputs.items())
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}

    def __call__(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = tuple(i if isinstance(i, str) else self.constant(i) for i in inputs)
        made = tuple(
            f"v{len(self.nodes)}.{i}" if i else f"v{len(self.nodes)}" for i in range(outputs)
        )
        self.nodes.append(Node(op, names, made, attributes, f"{op} {len(self.nodes)}"))
        return made[0] if outputs == 1 else made

    def constant(self, value: Any, name: str = "") -> str:
        """Numbers with a point are float32, others int64."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = name or f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def model(self, *outputs: str) -> GraphModel:
        values = tuple(Value(name, "") for name in outputs)
        return GraphModel(Graph(self.inputs, values, tuple(self.nodes), dict(self.constants)))


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ops(model: GraphModel) -> list[str]:
    return [node.op for node in model.graph.walk()]


def outputs(model: GraphModel, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return run(model.graph, inputs, model)


def assert_same(before: GraphModel, after: GraphModel, *inputs: np.ndarray) -> None:
    """What `after` computes is as near to the exact result as float32 brings `before`, or nearly."""
    by_name = dict(zip((v.name for v in before.graph.inputs), inputs, strict=True))
    assert [v.name for v in after.graph.outputs] == [v.name for v in before.graph.outputs]
    for model in (before, after):
        assert_shapes_hold(model, by_name)
    exact = outputs(doubled(before), {name: double(x) for name, x in by_name.items()})
    rounded, found = outputs(before, by_name), outputs(after, by_name)
    for wanted, plain, new in zip(exact, rounded, found, strict=True):
        assert new.dtype == plain.dtype and new.shape == plain.shape
        if wanted.dtype.kind != "f":
            assert np.array_equal(new, plain)
            continue
        unit = np.finfo(np.float32).eps * max(1, abs(wanted).max(initial=0))
        bound = SLACK * (abs(plain - wanted).max(initial=0) + unit)
        assert abs(new - wanted).max(initial=0) <= bound


def assert_shapes_hold(model: GraphModel, inputs: dict[str, np.ndarray]) -> None:
    """What passes know of shapes and small integers is so when the graph runs."""
    seen: list[Editing] = []
    rewrite(model, seen.append)
    known, sizes = {"": None, **model.graph.constants, **inputs}, {}
    for value in model.graph.inputs:
        pairs = zip(value.shape or (), inputs[value.name].shape, strict=False)
        sizes |= {name: size for name, size in pairs if isinstance(name, str)}
    for node in model.graph.nodes:
        results = call(node, [known[name] for name in node.inputs], known, model)
        known |= dict(zip(node.outputs, results, strict=False))
        for name in filter(None, node.outputs):
            shape, elements = seen[0].shape(name), seen[0].shapes.elements_of(name)
            assert_sizes(shape, known[name].shape, sizes)
            assert seen[0].shapes.dtype(name) in (None, str(known[name].dtype))
            if elements is not None:
                assert_sizes(elements, tuple(known[name].ravel()), sizes)


def assert_sizes(found: Shape | None, real: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Numbers and formulas must come to what is there; names of unknown sizes say nothing."""
    if found is None:
        return
    assert len(found) == len(real)
    for dimension, size in zip(found, real, strict=True):
        if isinstance(dimension, int) or "[" not in dimension:
            assert eval(str(dimension), {}, sizes) == size


def double(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def doubled(model: GraphModel) -> GraphModel:
    """The same in float64."""
    constants = {name: double(array) for name, array in model.graph.constants.items()}
    nodes = [_doubled(node) for node in model.graph.nodes]
    return replace(model, graph=replace(model.graph, constants=constants, nodes=tuple(nodes)))


def _doubled(node: Node) -> Node:
    if node.op == "Cast" and node.attributes["to"] == "float32":
        return replace(node, attributes={"to": "float64"})
    return node
