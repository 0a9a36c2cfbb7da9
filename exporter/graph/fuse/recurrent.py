"""LSTM and GRU with constant matrices: the input's product at once, then step by step.

What the input gives to the gates does not depend on the step before: it is an edge.Linear over all
steps.  edge.LSTM and edge.GRU (runtime/host_ops/recurrent.py) do the rest, one direction each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from .affine import finite
from .editing import Editing, rewrite
from .matrices import add_matrix

DIRECTIONS = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}
ACTIVATIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh")}
GATES = {"LSTM": 4, "GRU": 3}


@dataclass(frozen=True)
class Layer:
    """What a node is given.

    w, r      float32 [directions, gates x H, I] and [directions, gates x H, H]
    biases    float32 [directions, 2, gates x H]: beside W and beside R; None: there are none
    initial   values of the states before the first step, "": zeros
    backward  of each direction, whether it goes from the last step to the first
    """

    w: np.ndarray
    r: np.ndarray
    biases: np.ndarray | None
    initial: tuple[str, ...]
    backward: tuple[int, ...]
    batch_first: bool
    reset_first: bool  # of a GRU: whether its reset applies before the product

    @property
    def hidden(self) -> int:
        return int(self.r.shape[2])


def make_recurrent(model: GraphModel) -> GraphModel:
    """Layers with the usual activations, of sequences that are all of one length."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        layer = _layer(edit, node) if node.op in GATES else None
        if layer is not None:
            edit.replace(node, *_nodes(edit, node, layer))


# --- what is there --------------------------------------------------------------------------------


def _layer(edit: Editing, node: Node) -> Layer | None:
    x, w, r, b, lengths, *states, peepholes = (*node.inputs, *[""] * 8)[:8]
    if node.op == "GRU":
        states, peepholes = states[:1], ""
    backward = DIRECTIONS.get(node.attributes.get("direction", "forward"))
    matrices = [edit.constant(w), edit.constant(r)]
    if backward is None or edit.constant(x) is not None or not _is_usual(node, len(backward)):
        return None
    if not _all_zeros(edit, peepholes) or not _all_steps(edit, node, x, lengths):
        return None
    if any(m is None or m.ndim != 3 or len(m) != len(backward) for m in matrices):
        return None
    of_input, of_state = (_floats(m) for m in matrices)
    bias = _floats(edit.constant(b)) if b else None
    if of_input is None or of_state is None or (b and bias is None):
        return None
    gates, hidden = of_state.shape[1:]
    fits = gates == GATES[node.op] * hidden == of_input.shape[1]
    if not fits or node.attributes.get("hidden_size", hidden) != hidden:
        return None
    biases = None if bias is None else bias.reshape(len(backward), 2, gates)
    initial = tuple("" if _all_zeros(edit, name) else name for name in states)
    batch_first = bool(node.attributes.get("layout", 0))
    reset_first = node.op == "GRU" and not node.attributes.get("linear_before_reset", 0)
    return Layer(of_input, of_state, biases, initial, backward, batch_first, reset_first)


def _floats(array: np.ndarray | None) -> np.ndarray | None:
    """As float32; None of what is no such number."""
    if array is None or array.dtype not in (np.float32, np.float16) or not finite(array):
        return None
    return array.astype(np.float32)


def _is_usual(node: Node, directions: int) -> bool:
    """Whether it has the activations that its operator has by itself, and nothing beside them."""
    a = node.attributes
    names = tuple(name.lower() for name in a.get("activations", ()))
    usual = names in ((), ACTIVATIONS[node.op] * directions)
    return usual and "clip" not in a and not a.get("input_forget", 0)


def _all_zeros(edit: Editing, name: str) -> bool:
    """Whether an optional input is not there, or might as well not be."""
    array = edit.constant(name)
    return not name or (array is not None and not array.any())


def _all_steps(edit: Editing, node: Node, x: str, lengths: str) -> bool:
    """Whether every sequence is as long as the longest may be."""
    if not lengths:
        return True
    given, shape = edit.constant(lengths), edit.shape(x)
    steps = None if shape is None else shape[1 if node.attributes.get("layout", 0) else 0]
    return given is not None and isinstance(steps, int) and bool((given == steps).all())


# --- what is written ------------------------------------------------------------------------------


def _nodes(edit: Editing, node: Node, layer: Layer) -> Iterator[Node]:
    """Its outputs: Y [T, directions, N, H] and the last states [directions, N, H]; the batch
    first of all where the layout says so."""
    like = next(filter(None, node.outputs))
    x = node.inputs[0]
    if layer.batch_first:
        turn = edit.node("Transpose", (x,), f"{like}.steps", perm=(1, 0, 2))
        yield turn
        (x,) = turn.outputs
    found: list[Sequence[str]] = []
    for d in range(len(layer.backward)):
        initial = []
        for i, name in enumerate(layer.initial):
            made = list(_initial(edit, name, f"{like}.initial.{d}.{i}", layer, d)) if name else []
            yield from made
            initial.append(made[-1].outputs[0] if made else "")
        linear, steps = _direction(edit, node, layer, d, x, initial)
        yield from (linear, steps)
        found.append(steps.outputs)
    for i, output in enumerate(node.outputs):
        if output:
            yield from _joined(edit, [names[i] for names in found], output, node, layer, i == 0)


def _direction(
    edit: Editing, node: Node, layer: Layer, d: int, x: str, initial: Sequence[str]
) -> tuple[Node, Node]:
    _, w, r = node.inputs[:3]
    of_input, of_state = _biases(node.op, layer, d)
    like = f"{next(filter(None, node.outputs))}.{d}"
    weight = add_matrix(edit, node, w, layer.w[d], of_input)
    linear = edit.node("edge.Linear", (x,), f"{like}.gates", weight=weight)
    weight = add_matrix(edit, node, r, layer.r[d], of_state)
    attributes = {"weight": weight, "reverse": layer.backward[d]}
    if layer.reset_first:
        attributes["reset_first"] = 1
    outputs = [
        edit.model.fresh(f"{like}.{i}") if name else "" for i, name in enumerate(node.outputs)
    ]
    inputs = (*linear.outputs, *initial)
    return linear, Node(f"edge.{node.op}", inputs, tuple(outputs), attributes, node.name)


def _biases(op: str, layer: Layer, d: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Beside the input and beside the state, where a GRU's reset applies to what that gives to h."""
    if layer.biases is None:
        return None, None
    of_input, of_state = layer.biases[d]
    if op == "LSTM" or layer.reset_first:
        return of_input + of_state, None
    kept = of_state.copy()
    kept[: 2 * layer.hidden] = 0
    return of_input + of_state - kept, kept


def _initial(edit: Editing, name: str, like: str, layer: Layer, d: int) -> Iterator[Node]:
    """Of one direction, [N, H]."""
    axis = 1 if layer.batch_first else 0
    if len(layer.backward) > 1:
        bounds = [edit.add_integers(f"{like}.at", (at,)) for at in (d, d + 1, axis)]
        part = edit.node("Slice", (name, *bounds), f"{like}.part")
        yield part
        (name,) = part.outputs
    yield edit.node("Squeeze", (name, edit.add_integers(f"{like}.axis", (axis,))), like)


def _joined(
    edit: Editing,
    names: Sequence[str],
    output: str,
    node: Node,
    layer: Layer,
    is_y: bool,
) -> Iterator[Node]:
    """[T, N, H] or [N, H] of each direction as one output of ONNX's."""
    if is_y and layer.batch_first:
        turned = [
            edit.node("Transpose", (name,), f"{name}.turned", perm=(1, 0, 2)) for name in names
        ]
        yield from turned
        names = [turn.outputs[0] for turn in turned]
    axis = is_y + layer.batch_first
    axes = edit.add_integers(f"{output}.axis", (axis,))
    if len(names) == 1:
        yield Node("Unsqueeze", (names[0], axes), (output,), {}, node.name)
        return
    parts = [edit.node("Unsqueeze", (name, axes), f"{name}.part") for name in names]
    yield from parts
    inputs = tuple(part.outputs[0] for part in parts)
    yield Node("Concat", inputs, (output,), {"axis": int(axis)}, node.name)
