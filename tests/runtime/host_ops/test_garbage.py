"""Whatever a graph hands to an operator, there is a result or an EdgeError."""

import random

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.format.graph import Node
from edge.runtime.graph import interpreter
from edge.runtime.host_ops import OPS

TYPES = ("float32", "float16", "int64", "int8", "uint8", "bool")
ATTRIBUTES = {  # what some operators do not run without
    **{op: {"kernel_shape": (2, 2)} for op in ("MaxPool", "AveragePool", "LpPool", "MaxUnpool")},
    **{op: {"blocksize": 2} for op in ("DepthToSpace", "SpaceToDepth")},
    "Cast": {"to": "int4"},
    "Concat": {"axis": 1},
    "Einsum": {"equation": "ij,jk"},
    "GroupNormalization": {"num_groups": 2},
    "LRN": {"size": 3},
    "MaxRoiPool": {"pooled_shape": (2, 2)},
    "BitShift": {"direction": "LEFT"},
    "LinearAttention": {"q_num_heads": 2, "kv_num_heads": 1},
    "StringSplit": {"delimiter": " "},
    "RegexFullMatch": {"pattern": "(a"},
}


def garbage(draw: random.Random) -> object:
    kind = draw.randrange(10)
    if kind == 0:
        return None
    if kind == 1:
        return [np.zeros(2, np.float32)]
    if kind == 2:
        return np.array(["a", "1.5", ""], object)
    shape = [draw.choice([0, 1, 2, 3]) for _ in range(draw.randrange(5))]
    numbers = np.random.default_rng(draw.randrange(2**32)).integers(-3, 5, shape)
    return numbers.astype(draw.choice(TYPES))


@pytest.mark.parametrize("op", sorted(op for op in OPS if not op.startswith("edge.")))
def test_an_operator_takes_what_comes_or_says_why_not(op):
    draw = random.Random(op)
    for _ in range(30):
        inputs = [garbage(draw) for _ in range(draw.randrange(7))]
        node = Node(op, tuple(f"x{i}" for i in range(len(inputs))), ("y",), ATTRIBUTES.get(op, {}))
        try:
            interpreter.call(node, inputs, {})
        except EdgeError as error:
            assert op in str(error)
