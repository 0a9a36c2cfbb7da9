"""Activations in their exported spellings become one operator, and look-alikes do not."""

import math

import numpy as np
import pytest

from edge.exporter.graph.fuse.activations import recognise_activations
from edge.format.graph import Graph, Node, Value
from tests.exporter.graph.building import Building, assert_same, ops, random


def gelu_torch(b, x, half=0.5, root=1.4142135):
    inner = b("Add", b("Erf", b("Div", x, root)), 1.0)
    return b("Mul", b("Mul", x, inner), half)


def gelu_half_first(b, x):
    inner = b("Add", 1.0, b("Erf", b("Mul", x, math.sqrt(0.5))))
    return b("Mul", b("Mul", 0.5, x), inner)


def gelu_half_inside(b, x):
    inner = b("Add", b("Erf", b("Mul", math.sqrt(0.5), x)), 1.0)
    return b("Mul", x, b("Mul", inner, 0.5))


def gelu_halved(b, x):
    return b("Div", b("Mul", b("Add", b("Erf", b("Div", x, math.sqrt(2))), 1.0), x), 2.0)


def gelu_tanh(b, x, cubic=0.044715):
    inner = b("Add", x, b("Mul", b("Pow", x, 3.0), cubic))
    tanh = b("Tanh", b("Mul", math.sqrt(2 / math.pi), inner))
    return b("Mul", b("Mul", 0.5, x), b("Add", 1.0, tanh))


def gelu_tanh_by_products(b, x):
    square = b("Mul", x, x)
    inner = b("Mul", x, b("Add", b("Mul", square, 0.044715), 1.0))
    tanh = b("Tanh", b("Mul", inner, 0.7978845608))
    return b("Mul", x, b("Mul", b("Add", tanh, 1.0), 0.5))


def silu(b, x):
    return b("Mul", b("Sigmoid", x), x)


def quick_gelu(b, x):
    return b("Mul", x, b("Sigmoid", b("Mul", 1.702, x)))


def mish(b, x):
    return b("Mul", x, b("Tanh", b("Softplus", x)))


def mish_in_full(b, x):
    return b("Mul", x, b("Tanh", b("Log", b("Add", b("Exp", x), 1.0))))


def softplus(b, x):
    return b("Log", b("Add", 1.0, b("Exp", x)))


def hard_swish_of_clip(b, x, shift=3.0, most=6.0):
    return b("Div", b("Mul", x, b("Clip", b("Add", x, shift), 0.0, most)), 6.0)


def hard_swish_divided_first(b, x):
    return b("Mul", x, b("Div", b("Clip", b("Add", 3.0, x), 0.0, 6.0), 6.0))


def hard_swish_of_hard_sigmoid(b, x):
    return b("Mul", b("HardSigmoid", x, alpha=1 / 6, beta=0.5), x)


def hard_sigmoid(b, x):
    return b("Mul", b("Clip", b("Add", x, 3.0), 0.0, 6.0), 1 / 6)


SPELLINGS = [
    *((spell, "Gelu") for spell in (gelu_torch, gelu_half_first, gelu_half_inside, gelu_halved)),
    *((gelu_tanh, "Gelu"), (gelu_tanh_by_products, "Gelu"), (silu, "Swish"), (quick_gelu, "Swish")),
    *((mish, "Mish"), (mish_in_full, "Mish"), (softplus, "Softplus")),
    *((hard_swish_of_clip, "HardSwish"), (hard_swish_divided_first, "HardSwish")),
    *((hard_swish_of_hard_sigmoid, "HardSwish"), (hard_sigmoid, "HardSigmoid")),
]


@pytest.mark.parametrize("spell, op", SPELLINGS, ids=[s.__name__ for s, _ in SPELLINGS])
def test_an_activation_is_one_operator(spell, op):
    b = Building(x=("N", 40))
    before = b.model(spell(b, b("Neg", "x")))
    after = recognise_activations(before)
    assert ops(after) == ["Neg", op]
    assert_same(before, after, 4 * random(3, 40))


NEAR_MISSES = [
    lambda b, x: gelu_torch(b, x, half=0.49),
    lambda b, x: gelu_torch(b, x, root=1.41),
    lambda b, x: gelu_tanh(b, x, cubic=0.045),
    lambda b, x: b("Mul", b("Sigmoid", x), b("Neg", x)),
    lambda b, x: b("Mul", x, b("Sigmoid", b("Mul", x, 1.7))),
    lambda b, x: hard_swish_of_clip(b, x, shift=2.0),
    lambda b, x: hard_swish_of_clip(b, x, most=5.0),
    lambda b, x: b("Mul", x, b("HardSigmoid", x)),
    lambda b, x: b("Mul", x, b("HardSigmoid", x, alpha=1 / 6, beta=0.4)),
    lambda b, x: b("Div", 6.0, b("Clip", b("Add", x, 3.0), 0.0, 6.0)),
    lambda b, x: b("Log", b("Add", b("Exp", x), 2.0)),
    lambda b, x: b("Mul", x, b("Tanh", x)),
]


@pytest.mark.parametrize("spell", NEAR_MISSES)
def test_what_only_looks_like_an_activation_stays(spell):
    b = Building(x=("N", 40))
    before = b.model(spell(b, "x"))
    assert ops(recognise_activations(before)) == ops(before)


def test_a_value_in_the_middle_that_somebody_else_reads_keeps_the_spelling():
    b = Building(x=("N", 4))
    y = gelu_torch(b, "x")
    erf = next(node for node in b.nodes if node.op == "Erf").outputs[0]
    read = b.model(y, b("Neg", erf))
    assert ops(recognise_activations(read)) == ops(read)
    given_out = b.model(y, erf)
    assert "Gelu" not in ops(recognise_activations(given_out))


def test_a_branch_that_reads_a_value_in_the_middle_keeps_the_spelling():
    b = Building(x=("N", 4))
    y = silu(b, "x")
    (sigmoid,) = (node.outputs[0] for node in b.nodes if node.op == "Sigmoid")
    branch = Graph((), (Value("inside", ""),), (Node("Neg", (sigmoid,), ("inside",)),))
    z = b("If", np.array(True), then_branch=branch, else_branch=branch)
    assert "Swish" not in ops(recognise_activations(b.model(y, z)))


def test_activations_inside_of_branches_are_recognised_too():
    nodes = (Node("Sigmoid", ("x",), ("s",)), Node("Mul", ("s", "x"), ("inside",)))
    b = Building(x=("N", 4))
    branch = Graph((), (Value("inside", ""),), nodes)
    other = Graph((), (Value("other", ""),), (Node("Neg", ("x",), ("other",)),))
    y = b("If", np.array(True), then_branch=branch, else_branch=other)
    after = recognise_activations(b.model(y))
    assert sorted(ops(after)) == ["If", "Neg", "Swish"]
