"""Sizes that are known by name, and shapes that follow from them."""

import numpy as np
import pytest

from edge.exporter.graph.symbolic.dimensions import (
    MAX_TEXT,
    add,
    as_reshape,
    broadcast,
    declared,
    divide,
    multiply,
    subtract,
)
from tests.exporter.graph.building import Building, assert_shapes_hold, random


def test_arithmetic_of_numbers_is_done_and_of_names_written_down():
    assert (add(2, 3), subtract(2, 3), multiply(2, 3), divide(7, 2)) == (5, -1, 6, 3)
    assert (add("N", 0), subtract("N", 0), multiply(1, "N"), divide("N", 1)) == ("N",) * 4
    assert (subtract("N", "N"), multiply("N", 0)) == (0, 0)
    assert add(subtract(add("N", 2), 3), 1) == "N" and add(3, add("N", -1)) == "(N+2)"
    assert subtract(add("N", "T"), 1) == "((N+T)-1)" and subtract(1, "N") == "(1-N)"
    assert multiply("T", multiply("N", 2)) == multiply(multiply(2, "T"), "N")
    assert eval(str(divide(add("N", 3), 2)), {"N": 8}) == 5


def test_a_formula_stays_short_however_often_it_is_used():
    d = "N"
    for _ in range(100):
        d = add(d, d)
    assert len(d) <= 2 * MAX_TEXT + 3


def test_names_that_exporters_write_for_anything_are_not_the_same_size():
    assert declared("?", "x", 2) != declared("?", "x", 3)
    assert declared("batch", "x", 0) == declared("batch", "y", 0) == "batch"
    assert declared(-1, "x", 0) == declared(None, "x", 0) != declared(None, "y", 0)


def test_broadcasting_takes_the_size_that_is_not_one():
    assert broadcast([("N", 1, 4), (3, 1)], "y") == ("N", 3, 4)
    assert broadcast([("N",), (5,)], "y") == (5,)
    (size,) = broadcast([("N",), ("M",)], "y")
    assert size not in ("N", "M")


@pytest.mark.parametrize(
    "before, after, target",
    [
        (("N", 3, 4), ("N", 12), (0, 12)),
        (("N", "S", 12), ("N", "S", 3, 4), (0, 0, 3, 4)),
        (("N", "H", "W", 4), ("N", "H*W", 4), (0, -1, 4)),
        (("N", "S", 12), ("S", "N", 12), None),
        (("N", 0), ("N", 0, 1), None),
    ],
)
def test_a_reshape_takes_numbers_and_what_follows_from_them(before, after, target):
    assert as_reshape(before, after) == target


def computed(b):
    """Shapes computed as exporters compute them."""
    shape = b("Shape", "x")
    n, t = (b("Unsqueeze", b("Gather", shape, np.array(i), axis=0), [0]) for i in (0, 1))
    half = b("Div", b("Mul", b("Sub", b("Add", t, [3]), [1]), [2]), [2])
    wanted = b("Concat", n, half, b("Slice", shape, [2], [3]), [-1], axis=0)
    ones = b("ConstantOfShape", b("Shape", wanted), value=np.array([1]))
    chosen = b("Where", b("Equal", wanted, b("Mul", ones, np.array(-1))), ones, wanted)
    return b("Expand", b("Reshape", b("Slice", "x", [0], [1], [1]), [0, 1, 4, -1]), chosen)


SHAPED = {
    "shapes computed": computed,
    "size": lambda b: b("Reshape", "x", b("Unsqueeze", b("Size", "x"), [0])),
    "shape of a part": lambda b: b("Shape", "x", start=1, end=-1),
    "cast": lambda b: b("Reshape", "x", b("Cast", b("Shape", "x"), to="int64")),
    "flatten": lambda b: b("Flatten", "x", axis=-1),
    "flatten all": lambda b: b("Flatten", "x", axis=0),
    "tile": lambda b: b("Tile", "x", [1, 2, 3]),
    "split": lambda b: b(
        "Concat", *b("Split", b("Tile", "x", [1, 1, 2]), axis=2, outputs=3, num_outputs=3), axis=2
    ),
    "argmax": lambda b: b("ArgMax", "x", axis=1, keepdims=0),
    "gather": lambda b: b("Gather", "x", np.array([[0, 1, 1]]), axis=2),
    "gather elements": lambda b: b("GatherElements", "x", np.zeros((1, 2, 3), int), axis=1),
    "matmul": lambda b: b("MatMul", "x", b("Transpose", "x", perm=(0, 2, 1))),
    "matmul of a vector": lambda b: b("MatMul", "x", random(4)),
    "vector by matrix": lambda b: b("MatMul", random(4), b("Transpose", "x", perm=(0, 2, 1))),
    "reduce all": lambda b: b("ReduceSum", "x", keepdims=0),
    "reduce nothing": lambda b: b("ReduceSum", "x", noop_with_empty_axes=1),
    "squeeze": lambda b: b("Squeeze", b("Unsqueeze", "x", [0, -1]), [0]),
    "slice behind": lambda b: b("Slice", "x", [-1], [2**62], [1]),
    "slice backwards": lambda b: b("Slice", "x", [-1], [-5], [2], [-1]),
    "pad": lambda b: b("Pad", "x", [0, 1, 2, 0], 0.0, [1, 2]),
    "range": lambda b: b("Range", np.array(0), b("Size", "x"), np.array(2)),
    "pool": lambda b: b("MaxPool", "x", kernel_shape=(2,), strides=(3,), ceil_mode=1),
    "pool rounded up with padding": lambda b: b(
        "MaxPool", "x", kernel_shape=(2,), strides=(3,), pads=(1, 1), ceil_mode=1
    ),
    "resize": lambda b: b("Resize", "x", "", [1.0, 1.0, 1.5], mode="linear"),
    "transposed convolution": lambda b: b("ConvTranspose", "x", random(7, 2, 3), strides=(2,)),
    "lstm": lambda b: b("LSTM", "x", random(1, 20, 4), random(1, 20, 5), hidden_size=5, outputs=3)[
        0
    ],
}


@pytest.mark.parametrize("name", SHAPED)
def test_shapes_that_are_inferred_are_those_that_come_out(name):
    b = Building(x=("N", 7 if "convolution" in name else "T", 4))
    model = b.model(SHAPED[name](b))
    assert_shapes_hold(model, {"x": random(2, 7, 4)})
