"""Constant folding: nodes whose inputs are all constants become constants.

Not every one: DequantizeLinear stays, because quantized weights are carried over as they are, and
nothing grows beyond GROWN_MOST bytes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge.format.graph import Graph, Node

from ..evaluate import evaluated
from ..rewriting import Rewriting

GROWN_MOST = 2**24  # bytes of a constant that is larger than what it was made of
Arrays = list[np.ndarray | None]
Estimate = Callable[[Arrays, Mapping[str, Any]], float]  # elements of the largest output


def folded(graph: Graph) -> Graph:
    at = Rewriting(graph)

    def change(node: Node) -> list[Node]:
        results = _results(node, at.constants)
        if results is None:
            return [node]
        at.constants.update(zip(filter(None, node.outputs), results, strict=False))
        return []

    return at.result(change)


def _results(node: Node, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...] | None:
    known = all(name in constants for name in node.inputs if name)
    if not known or node.op not in ESTIMATES or "" in node.outputs:
        return None
    arrays: Arrays = [constants[name] if name else None for name in node.inputs]
    if not _is_small_enough(node, arrays):
        return None
    return evaluated(node, arrays)


def _is_small_enough(node: Node, arrays: Arrays) -> bool:
    there = [array for array in arrays if array is not None]
    most = max(GROWN_MOST, sum(array.nbytes for array in there))
    try:
        elements = ESTIMATES[node.op](arrays, node.attributes)
    except (ValueError, TypeError, IndexError, AttributeError):  # of inputs that do not fit
        return False
    return 8 * elements <= most or elements * max(a.itemsize for a in there) <= most


# --- how large results can be ---------------------------------------------------------------------


def _broadcast(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    return float(math.prod(np.broadcast_shapes(*(a.shape for a in arrays if a is not None))))


def _all_together(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    return sum(array.size for array in arrays if array is not None)


def _first(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    return _array(arrays, 0).size


def _gathered(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    data, indices = _array(arrays, 0), _array(arrays, 1)
    return float(data.size / max(data.shape[attributes.get("axis", 0)], 1) * indices.size)


def _shape_given(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    """The shape is the last input; the one before it, if any, is broadcast."""
    shapes = [tuple(map(int, _array(arrays, -1))), *(a.shape for a in arrays[:-1] if a is not None)]
    return float(math.prod(np.broadcast_shapes(*shapes)))


def _tiled(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    return _array(arrays, 0).size * math.prod(map(int, _array(arrays, 1)))


def _range(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    start, limit, delta = (float(_array(arrays, i)) for i in range(3))
    return abs(limit - start) / abs(delta) + 1 if delta else math.inf


def _product(arrays: Arrays, attributes: Mapping[str, Any]) -> float:
    a, b = _array(arrays, 0), _array(arrays, 1)
    return float(a.size * b.size / max(a.shape[-1], 1))


def _array(arrays: Arrays, index: int) -> np.ndarray:
    array = arrays[index]
    if array is None:
        raise ValueError("an input is missing")
    return array


ESTIMATES: dict[str, Estimate] = {
    **dict.fromkeys(
        (
            *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh"),
            *("Erf", "Exp", "Floor", "IsInf", "IsNaN", "Log", "Neg", "Not", "Reciprocal", "Relu"),
            *("Round", "Sigmoid", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh", "BitwiseNot"),
            *("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "Sum", "Mean", "Where"),
            *("And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
            *("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"),
        ),
        _broadcast,
    ),
    **dict.fromkeys(("Identity", "Cast", "CastLike", "Clip", "Transpose", "Reshape"), _first),
    **dict.fromkeys(("Flatten", "Squeeze", "Unsqueeze", "Slice", "Shape", "Size"), _first),
    **dict.fromkeys(("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean"), _first),
    **dict.fromkeys(("CumSum", "ArgMax", "ArgMin", "Trilu", "Compress"), _first),
    **dict.fromkeys(("Concat", "ScatterND", "ScatterElements", "Split"), _all_together),
    **dict.fromkeys(("ConstantOfShape", "Expand"), _shape_given),
    "MatMul": _product,
    "NonZero": lambda arrays, attributes: _array(arrays, 0).size * max(_array(arrays, 0).ndim, 1),
    "Gather": _gathered,
    "GatherElements": lambda arrays, attributes: _array(arrays, 1).size,
    "Tile": _tiled,
    "Range": _range,
}
