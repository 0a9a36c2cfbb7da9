"""Matrices back onto the grids that another tool has quantized them to, code by code."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edge.format.formats import QuantizedTensor
from edge.format.graph import Node

from ..sources.integer_matrix import IntegerMatrix
from .grid import Grid
from .layers import EMBEDDING, LINEAR, layers
from .model import GraphModel

NEAR = 2.0**-11  # relative: a rounding to float16, where the source's scales have that type
MIDDLE = 128  # the code that means 0 in int8


def keep_grids(model: GraphModel) -> GraphModel:
    """Matrices whose source was quantized get `kept`, if edge has a grid that holds their codes.

    int8 has its zero in the middle.  A matrix whose zero point is elsewhere keeps its codes, and
    what it lacks is added behind it: scale (128 - zero), times the sum of its input if that is
    multiplied.  A convolution's sum would take another convolution: it is treated as floats, and a
    note says so.
    """
    matrices, lacking, lost = dict(model.matrices), {}, []
    completed = _completed(model)
    for name, matrix in model.matrices.items():
        grid = model.grids.get(matrix.source)
        if grid is None:
            continue
        integers = integer_matrix(matrix.weight, grid)
        kept = None if integers is None else integers.on_grid(narrow=grid.bits == 4)
        if kept is None and integers is not None and name in completed:
            kept, lacks = _around_the_middle(integers)
            if lacks is not None:
                lacking[name] = lacks
        if kept is None:
            lost.append(name)
            continue
        matrices[name] = replace(matrix, weight=kept.dequantize(), kept=kept)
    changed = replace(model, matrices=matrices, notes=(*model.notes, *_notes(lost)))
    return _with_sums(changed, lacking) if lacking else changed


def _completed(model: GraphModel) -> set[str]:
    """Matrices behind whose layers something can be added."""
    outside = {id(node) for node in model.graph.nodes}
    names: set[str] = set()
    others: set[str] = set()
    for layer in layers(model.graph):
        grid = model.grids.get(model.matrices[layer.name].source)
        of_rows = layer.op == EMBEDDING and grid is not None and grid.scales.size > 1
        fits = layer.op in (LINEAR, EMBEDDING) and id(layer.node) in outside and not of_rows
        (names if fits else others).add(layer.name)
    return names - others


def integer_matrix(weight: np.ndarray, grid: Grid) -> IntegerMatrix | None:
    """The codes of float32 [rows, columns]; None where these are on the grid no more."""
    for scales, zeros in _orientations(grid, weight.shape):
        width = grid.block or weight.shape[1]
        steps, middles = (
            np.repeat(part, width, axis=1)[:, : weight.shape[1]] for part in (scales, zeros)
        )
        codes = np.rint(weight / np.where(steps == 0, np.float32(1), steps)) + (
            middles - grid.lowest
        )
        if codes.min() < 0 or codes.max() >= 2**grid.bits:
            continue
        moved = (zeros - grid.lowest).astype(np.int16)
        found = IntegerMatrix(grid.bits, codes.astype(np.uint8), moved, scales, width)
        if np.allclose(found.values(), weight, rtol=NEAR, atol=0):
            return found
    return None


def _orientations(grid: Grid, shape: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scales and zeros [rows, groups] of a matrix that may be the constant or its transpose."""
    rows, columns = shape
    groups = -(-columns // grid.block) if grid.block else 1
    for scales, zeros in ((grid.scales, grid.zeros), (grid.scales.T, grid.zeros.T)):
        if scales.size == 1:
            yield np.full((rows, 1), scales.item(), np.float32), np.full((rows, 1), zeros.item())
            return
        if scales.size == rows * groups and scales.shape in ((rows,), (rows, groups)):
            yield scales.reshape(rows, groups), zeros.reshape(rows, groups)


def _around_the_middle(
    integers: IntegerMatrix,
) -> tuple[QuantizedTensor | None, np.ndarray | None]:
    """s (q - 128), and s (128 - z), float32 [rows]; None of blocks."""
    if integers.bits != 8 or integers.scales.shape[1] > 1:
        return None, None
    middle = np.full_like(integers.zeros, MIDDLE)
    lacks = (integers.scales * (MIDDLE - integers.zeros)).astype(np.float32)
    return replace(integers, zeros=middle).on_grid(narrow=False), lacks[:, 0]


def _with_sums(model: GraphModel, lacking: dict[str, np.ndarray]) -> GraphModel:
    """What matrices lack, behind each layer: y + lacks of a row, or y + (sum of x) lacks."""
    constants, nodes = dict(model.graph.constants), []
    constants["the last axis"] = np.array([-1], np.int64)
    for node in model.graph.nodes:
        shift = lacking.get(str(node.attributes.get("weight")))
        if shift is None:
            nodes.append(node)
            continue
        y = node.outputs[0]
        nodes.append(replace(node, outputs=(f"{y}.codes",)))
        if node.op == EMBEDDING:
            constants[f"{y}.shift"] = shift[0]
        else:
            constants[f"{y}.lacks"] = shift
            x = node.inputs[0]
            nodes.append(Node("ReduceSum", (x, "the last axis"), (f"{y}.sum",), {"keepdims": 1}))
            nodes.append(Node("Mul", (f"{y}.sum", f"{y}.lacks"), (f"{y}.shift",)))
        nodes.append(Node("Add", (f"{y}.codes", f"{y}.shift"), (y,)))
    return replace(model, graph=replace(model.graph, nodes=tuple(nodes), constants=constants))


def _notes(lost: list[str]) -> tuple[str, ...]:
    if not lost:
        return ()
    shown = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
    why = "zero points, blocks, or scales folded since"
    note = f"{len(lost)} quantized matrices are on no grid that edge has ({why})"
    return (f"{note}, and are stored as if they were floats: {shown}",)
