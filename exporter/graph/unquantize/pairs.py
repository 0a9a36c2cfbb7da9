"""QuantizeLinear and DequantizeLinear: of weights folded, of activations dropped."""

import math
from dataclasses import replace

import numpy as np

from edge.format.graph import Node

from ..grid import dequantized, fits, grid_of
from .draft import Draft

MOVES = (
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool", "Gather"),
    *("Slice", "Expand", "DepthToSpace", "SpaceToDepth", "Tile"),
)  # they take elements, or the largest of some: the same before and after quantizing all alike
UNIT = ("Sigmoid", "HardSigmoid", "Softmax")  # between 0 and 1
SUFFIXES = ("_quantized", "_DQ_Q4")


def read_tables(draft: Draft) -> None:
    """DequantizeLinear(Gather(codes, ids)) -> Gather(DequantizeLinear(codes), ids)."""

    def rule(node: Node) -> list[Node] | None:
        gather = draft.maker(node.inputs[0]) if node.op == "DequantizeLinear" else None
        if gather is None or gather.op != "Gather" or not _is_alike(draft, node):
            return None
        if draft.constant(gather.inputs[0]) is None:
            return None
        table = draft.fresh(f"{gather.inputs[0]}_float")
        read = Node("DequantizeLinear", (gather.inputs[0], *node.inputs[1:]), (table,))
        return [read, replace(gather, inputs=(table, gather.inputs[1]), outputs=node.outputs)]

    draft.rewrite(rule)


def fold_constants(draft: Draft) -> None:
    """DequantizeLinear of constants: a constant by the name of its codes, and its grid."""
    renamed: dict[str, str] = {}

    def rule(node: Node) -> list[Node] | None:
        if node.op != "DequantizeLinear":
            inputs = tuple(renamed.get(name, name) for name in node.inputs)
            return None if inputs == node.inputs else [replace(node, inputs=inputs)]
        arrays = [draft.constant(name) for name in node.inputs if name]
        known = len(arrays) > 1 and all(array is not None for array in arrays)
        if not known or draft.is_kept(node) or not fits(*_parts(draft, node)):
            return None
        renamed[node.outputs[0]] = _fold(draft, node)
        return []

    draft.rewrite(rule)


def _fold(draft: Draft, node: Node) -> str:
    codes, scales, zeros, axis, block = _parts(draft, node)
    base = node.inputs[0]
    for suffix in SUFFIXES:
        base = base.removesuffix(suffix)
    name = draft.add_constant(dequantized(codes, scales, zeros, axis, block), base)
    grid = grid_of(codes, scales, zeros, block)
    if grid is not None:
        draft.grids[name] = grid
    return name


def _parts(draft: Draft, node: Node) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, int, int]:
    """Codes, scales, zero points, axis and size of blocks."""
    codes, scales = (draft.constants[name] for name in node.inputs[:2])
    zeros = draft.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    block = int(node.attributes.get("block_size", 0))
    return codes, scales, zeros, int(node.attributes.get("axis", 1)), block


def fold_transposes(draft: Draft) -> None:
    """Transpose of a matrix on a grid: another matrix, on the same grid."""

    def rule(node: Node) -> list[Node] | None:
        source = node.inputs[0] if node.op == "Transpose" else ""
        if source not in draft.grids or draft.constants[source].ndim != 2 or draft.is_kept(node):
            return None
        if tuple(node.attributes.get("perm", (1, 0))) != (1, 0):
            return None
        turned = draft.add_constant(np.ascontiguousarray(draft.constants[source].T), f"{source}.T")
        grid = draft.grids[source]
        draft.grids[turned] = replace(grid, scales=grid.scales.T, zeros=grid.zeros.T)
        return [Node("Identity", (turned,), node.outputs)]

    if draft.rewrite(rule):
        _skip_identities(draft)


def move_quantizers(draft: Draft) -> None:
    """op(QuantizeLinear(x)) -> QuantizeLinear(op(x)), for operators that move elements.

    Also for Concat of values that were quantized alike.
    """

    def rule(node: Node) -> list[Node] | None:
        if node.op not in (*MOVES, "Concat") or len(node.outputs) > 1:
            return None
        data = node.inputs if node.op == "Concat" else node.inputs[:1]
        makers = [draft.maker(name) for name in data]
        if any(m is None or m.op != "QuantizeLinear" or not _is_alike(draft, m) for m in makers):
            return None
        known = [maker for maker in makers if maker is not None]
        if any(_numbers(draft, maker) != _numbers(draft, known[0]) for maker in known):
            return None
        moved = draft.fresh(f"{node.outputs[0]}_float")
        inputs = (*(maker.inputs[0] for maker in known), *node.inputs[len(data) :])
        after = replace(known[0], inputs=(moved, *known[0].inputs[1:]), outputs=node.outputs)
        return [replace(node, inputs=inputs, outputs=(moved,)), after]

    while draft.rewrite(rule):
        pass


def drop_pairs(draft: Draft) -> None:
    """DequantizeLinear(QuantizeLinear(x)) -> x, cut to the range of its codes."""

    def rule(node: Node) -> list[Node] | None:
        maker = draft.maker(node.inputs[0]) if node.op == "DequantizeLinear" else None
        if maker is None or maker.op != "QuantizeLinear" or not _is_alike(draft, node):
            return None
        if _numbers(draft, node) != _numbers(draft, maker):
            return None
        x = maker.inputs[0]
        low, high, step = _range(draft, node)
        if _lies_within(draft, x, low - step, high + step):
            return [Node("Identity", (x,), node.outputs)]
        ends = [draft.add_constant(np.array(end, np.float32), f"{x}_end") for end in (low, high)]
        return [Node("Clip", (x, *ends), node.outputs)]

    draft.rewrite(rule)
    _skip_identities(draft)


def _skip_identities(draft: Draft) -> None:
    skipped: dict[str, str] = {}

    def rule(node: Node) -> list[Node] | None:
        inputs = tuple(skipped.get(name, name) for name in node.inputs)
        if node.op == "Identity" and not draft.is_kept(node):
            skipped[node.outputs[0]] = inputs[0]
            return []
        return None if inputs == node.inputs else [replace(node, inputs=inputs)]

    if draft.changed:
        draft.rewrite(rule)


def _is_alike(draft: Draft, node: Node) -> bool:
    """Whether all elements have one scale and zero point, that are known."""
    arrays = [draft.constant(name) for name in node.inputs[1:] if name]
    return all(array is not None and array.size == 1 for array in arrays)


def _numbers(draft: Draft, node: Node) -> tuple[float, int]:
    """Scale and zero point."""
    arrays = [draft.constants[name] for name in node.inputs[1:] if name]
    return float(arrays[0].reshape(())), int(arrays[1].reshape(())) if len(arrays) > 1 else 0


def _range(draft: Draft, node: Node) -> tuple[float, float, float]:
    """What codes mean at most: the lowest, the highest; and a step."""
    scale, zero = _numbers(draft, node)
    zeros = draft.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    kind = np.iinfo(np.uint8 if zeros is None else zeros.dtype)
    return scale * (int(kind.min) - zero), scale * (int(kind.max) - zero), scale


def _lies_within(draft: Draft, name: str, low: float, high: float) -> bool:
    found_low, found_high = _bounds(draft, name)
    return low <= found_low and found_high <= high


def _bounds(draft: Draft, name: str) -> tuple[float, float]:
    maker = draft.maker(name)
    if maker is None:
        return -math.inf, math.inf
    if maker.op in (*MOVES, "GlobalAveragePool", "AveragePool"):
        return _bounds(draft, maker.inputs[0])
    if maker.op in UNIT:
        return 0.0, 1.0
    if maker.op == "Relu":
        return 0.0, math.inf
    if maker.op == "Clip":
        ends = [draft.constant(end) if end else None for end in (*maker.inputs[1:], "", "")[:2]]
        low, high = (None if end is None else float(end.reshape(())) for end in ends)
        return -math.inf if low is None else low, math.inf if high is None else high
    return -math.inf, math.inf
