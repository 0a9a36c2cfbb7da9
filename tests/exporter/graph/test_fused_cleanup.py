"""What does nothing goes, and views of views are views."""

import numpy as np
import pytest

from edge.exporter.graph.fuse.cleanup import clean
from edge.exporter.graph.fuse.cuts import cut_first
from edge.format.graph import Graph, Node, Value
from tests.exporter.graph.building import Building, assert_same, ops, random

NOTHING = {
    "transposes that undo each other": lambda b, x: b(
        "Transpose", b("Transpose", x, perm=(2, 0, 1)), perm=(1, 2, 0)
    ),
    "a transpose of nothing": lambda b, x: b("Transpose", x, perm=(0, 1, 2)),
    "a reshape there and back": lambda b, x: b("Reshape", b("Reshape", x, [-1]), b("Shape", x)),
    "squeezed and unsqueezed": lambda b, x: b("Squeeze", b("Unsqueeze", x, [1]), [1]),
    "times one": lambda b, x: b("Mul", x, np.ones((1, 1))),
    "plus zero": lambda b, x: b("Sub", b("Add", x, 0.0), 0.0),
    "padded by nothing": lambda b, x: b("Pad", x, [0] * 6),
    "expanded to itself": lambda b, x: b("Expand", x, b("Shape", x)),
    "a slice of all": lambda b, x: b("Slice", x, [0, 0], [2**31 - 1, 6], [1, 2]),
    "a choice that is made": lambda b, x: b("Where", np.zeros((1, 6), bool), b("Abs", x), x),
    "concat of one": lambda b, x: b("Concat", x, axis=1),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_does_nothing_goes(name):
    b = Building(x=("N", "T", 6))
    before = b.model(b("Relu", NOTHING[name](b, b("Neg", "x"))))
    after = clean(before)
    assert ops(after) == ["Neg", "Relu"]
    assert_same(before, after, random(2, 3, 6))


@pytest.mark.parametrize("name", NOTHING)
def test_an_output_that_is_an_input_is_still_there(name):
    b = Building(x=("N", "T", 6))
    before = b.model(NOTHING[name](b, "x"), "x")
    after = clean(before)
    assert ops(after) == ["Identity"]
    assert_same(before, after, random(2, 3, 6))


SOMETHING = {
    "times one with more axes": lambda b, x: b("Mul", x, np.ones((1, 1, 1, 1))),
    "one divided": lambda b, x: b("Div", 1.0, x),
    "zero minus": lambda b, x: b("Sub", 0.0, x),
    "another order": lambda b, x: b("Transpose", x, perm=(1, 0, 2)),
    "another shape": lambda b, x: b("Reshape", x, [-1, 3]),
    "more of it": lambda b, x: b("Expand", x, [2, 1, 1, 1]),
}


@pytest.mark.parametrize("name", SOMETHING)
def test_what_does_something_stays(name):
    b = Building(x=("N", "T", 6))
    before = b.model(SOMETHING[name](b, "x"))
    after = clean(before)
    assert ops(after) == ops(before)
    assert_same(before, after, random(2, 3, 6))


def test_a_transpose_of_axes_of_length_one_is_a_reshape():
    b = Building(x=("N", 1, "T", 6))
    before = b.model(b("Transpose", "x", perm=(0, 2, 1, 3)))
    after = clean(before)
    assert ops(after) == ["Reshape"]
    assert_same(before, after, random(2, 1, 3, 6))


def test_a_transpose_that_moves_one_axis_of_length_one_between_unknown_ones_moves_nothing():
    b = Building(x=("N", "H", "W", 1))
    before = b.model(b("Transpose", "x", perm=(0, 3, 1, 2)))
    after = clean(before)
    assert ops(after) == ["Reshape", "Unsqueeze"]
    assert_same(before, after, random(2, 3, 4, 1))


def test_a_view_of_a_view_sees_what_that_sees_and_others_keep_theirs():
    b = Building(x=("N", "T", 6))
    middle = b("Flatten", "x", axis=2)
    before = b.model(
        b("Reshape", middle, [-1, 2]), b("Unsqueeze", b("Reshape", "x", [0, 0, 2, 3]), [1])
    )
    after = clean(before)
    assert ops(after) == ["Reshape", "Reshape"]
    assert all(node.inputs[0] == "x" for node in after.graph.nodes)
    assert_same(before, after, random(2, 3, 6))


def test_a_reshape_that_looks_up_sizes_it_keeps_does_so_no_more():
    b = Building(x=("N", "T", 6))
    shape = b("Shape", "x")
    sizes = [b("Slice", shape, [i], [i + 1]) for i in (0, 1)]
    before = b.model(b("Relu", b("Reshape", "x", b("Concat", *sizes, [2], [3], axis=0))))
    after = clean(before)
    assert ops(after) == ["Relu", "Reshape"]
    assert_same(before, after, random(2, 3, 6))


def test_small_integers_that_follow_from_known_sizes_are_constants():
    b = Building(x=("N", 4, 6))
    shape = b("Shape", "x")
    wanted = b("Concat", b("Slice", shape, [0], [1]), [4, 6], axis=0)
    minus = b("Equal", wanted, np.array(-1))
    chosen = b("Where", minus, [1, 1, 1], wanted)
    known = b("Mul", b("Slice", shape, [1], [2]), [2])
    before = b.model(b("Relu", b("Expand", b("Neg", "x"), chosen)), known)
    after = clean(before)
    assert sorted(ops(after)) == ["Identity", "Neg", "Relu"]
    assert_same(before, after, random(2, 4, 6))


def test_a_softmax_of_rows_is_one_of_the_whole():
    b = Building(x=("N", "T", 6))
    rows = b("Softmax", b("Reshape", b("Neg", "x"), [-1, 6]), axis=1)
    before = b.model(b("Reshape", rows, b("Shape", "x")))
    after = clean(before)
    assert ops(after) == ["Neg", "Softmax"]
    assert_same(before, after, random(2, 3, 6))
    b = Building(x=("N", "T", 6))
    columns = b("Softmax", b("Reshape", "x", [-1, 3]), axis=1)
    before = b.model(b("Reshape", columns, b("Shape", "x")))
    assert ops(clean(before)).count("Reshape") == 2


# --- cuts -----------------------------------------------------------------------------------------

CUTS = {
    "slice": lambda b, x: [b("Slice", x, [1], [3], [2])],
    "slice with a step": lambda b, x: [b("Slice", x, [0, -1], [9, -9], [0, 2], [2, -1])],
    "split": lambda b, x: b("Split", x, [1, 3], axis=2, outputs=2),
    "gather": lambda b, x: [b("Gather", x, np.array(-1), axis=2)],
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("perm", [(0, 3, 2, 1), (2, 0, 3, 1), (3, 2, 1, 0)])
def test_cuts_are_made_before_transposes(name, perm):
    b = Building(x=(4, 4, 4, 4))
    before = b.model(*CUTS[name](b, b("Transpose", "x", perm=perm)))
    after = cut_first(before)
    assert ops(after)[0] != "Transpose" and "Transpose" in ops(after)
    assert_same(before, after, random(4, 4, 4, 4))


@pytest.mark.parametrize("name", CUTS)
def test_cuts_are_made_before_the_last_axis_is_taken_apart(name):
    b = Building(x=("N", "T", 24))
    before = b.model(*CUTS[name](b, b("Reshape", "x", [0, 0, 4, 6])))
    after = cut_first(before)
    wanted = name != "slice with a step"
    assert (ops(after)[0] in ("Slice", "Split")) == wanted
    assert_same(before, after, random(2, 3, 24))


def test_a_cut_of_something_else_than_the_first_part_stays_behind():
    b = Building(x=("N", "T", 24))
    split = b("Reshape", "x", [0, 0, 4, 6])
    before = b.model(b("Slice", split, [0], [2], [3]), b("Slice", split, [0], [1], [1]))
    assert ops(cut_first(before)) == ops(before)


def test_a_gather_of_several_stays_behind_a_transpose():
    b = Building(x=(4, 5, 6))
    before = b.model(b("Gather", b("Transpose", "x", perm=(2, 0, 1)), np.array([[1, 0]]), axis=1))
    assert ops(cut_first(before)) == ops(before)


# --- large graphs ---------------------------------------------------------------------------------


def test_a_long_chain_that_nobody_reads_any_more_goes_at_once():
    b = Building(x=(2, 3))
    x = "x"
    for _ in range(3000):
        x = b("Relu", x)
    assert ops(clean(b.model(b("Shape", x)))) == ["Identity"]


def test_a_node_may_be_replaced_any_number_of_times():
    b = Building(x=(2, 3))
    parts = [b("Mul", "x", 1.0) for _ in range(1010)]  # a chain as long as Python's stack
    after = clean(b.model(b("Concat", *parts, axis=1)))
    assert ops(after) == ["Concat"] and set(after.graph.nodes[0].inputs) == {"x"}


def test_sizes_inside_of_a_body_have_names_of_their_own():
    inner = Value("inner", "float32", ("N", 3))
    body = Graph(
        (Value("i", "int64", ()), Value("going", "bool", ()), inner),
        (Value("going", "bool", ()), Value("same", "float32")),
        (Node("Shape", ("x",), ("shape",)), Node("Expand", ("inner", "shape"), ("same",))),
    )
    b = Building(x=("N", 3), state=("M", 3))
    y = b("Loop", np.array(2), np.array(True), "state", body=body)
    assert "Expand" in ops(clean(b.model(y))), "the state may have one row, x more"
