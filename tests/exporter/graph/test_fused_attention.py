"""Softmax attention in its exported spellings is one operator between values by token."""

import math

import numpy as np
import pytest

from edge.exporter.graph.fuse.attention import recognise_attention
from edge.exporter.graph.fuse.cleanup import clean
from edge.exporter.graph.fuse.cuts import cut_first
from edge.exporter.graph.fuse.heads import keep_tokens_first
from tests.exporter.graph.building import Building, assert_same, ops, random

HEADS, D, S = 3, 4, 5
WIDTH = HEADS * D
FEED = (2, S, WIDTH)
LOW = float(np.finfo(np.float32).min)


def fused(model):
    return clean(recognise_attention(clean(cut_first(model))))


def split(b, x, heads=HEADS, perm=(0, 2, 1, 3)):
    return b("Transpose", b("Reshape", x, [0, 0, heads, D]), perm=perm)


def joined(b, x):
    return b("Reshape", b("Transpose", x, perm=(0, 2, 1, 3)), [0, 0, WIDTH])


def building(**more):
    return Building(q=("N", "S", WIDTH), k=("N", "S", WIDTH), v=("N", "S", WIDTH), **more)


def bert(b, scale=D**-0.5, mask=None, axis=-1):
    scores = b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1)))
    scores = b("Mul", scores, scale)
    if mask is not None:
        scores = b("Add", scores, mask)
    return joined(b, b("MatMul", b("Softmax", scores, axis=axis), split(b, "v")))


def divided(b):
    k = b("Transpose", split(b, "k"), perm=(0, 1, 3, 2))
    scores = b("Div", b("MatMul", split(b, "q"), k), math.sqrt(D))
    return joined(b, b("MatMul", b("Softmax", scores, axis=3), split(b, "v")))


def scaled_on_both_sides(b):
    root = D**-0.25
    q = b("Mul", split(b, "q"), root)
    k = b("Mul", b("Transpose", split(b, "k"), perm=(0, 1, 3, 2)), root)
    return joined(b, b("MatMul", b("Softmax", b("MatMul", q, k)), split(b, "v")))


def guarded(b):
    k = b("Transpose", split(b, "k"), perm=(0, 1, 3, 2))
    weights = b("Softmax", b("MatMul", b("Mul", split(b, "q"), D**-0.25), b("Mul", k, D**-0.25)))
    weights = b("Where", b("IsNaN", weights), 0.0, weights)
    return joined(b, b("MatMul", weights, split(b, "v")))


def not_scaled(b):
    scores = b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1)))
    return joined(b, b("MatMul", b("Softmax", scores), split(b, "v")))


def qkv(*inputs):
    return [random(*(inputs or FEED), seed=i) for i in range(3)]


@pytest.mark.parametrize("spell", [bert, divided, scaled_on_both_sides, guarded, not_scaled])
def test_attention_is_one_operator(spell):
    b = building()
    before = b.model(b("Relu", spell(b)))
    after = fused(before)
    assert ops(after) == ["edge.Attention", "Relu"]
    node = after.graph.nodes[0]
    assert node.inputs == ("q", "k", "v")
    assert (node.attributes["heads"], node.attributes["kv_heads"]) == (HEADS, HEADS)
    wanted = 1 if spell is not_scaled else 1 / math.sqrt(D)
    assert node.attributes["scale"] == pytest.approx(wanted, rel=1e-6)
    assert_same(before, after, *qkv())


@pytest.mark.parametrize(
    "shape", [("N", 1, 1, "S"), ("S",), ("N", HEADS, "S", "S"), (1, 1, "S", "S")]
)
def test_a_mask_is_added_in_the_operator(shape):
    b = building(mask=shape)
    before = b.model(b("Relu", bert(b, mask="mask")))
    after = fused(before)
    assert ops(after) == ["edge.Attention", "Relu"]
    sizes = {"N": 2, "S": S}
    values = random(*(sizes.get(d, d) for d in shape), seed=9)
    assert_same(before, after, *qkv(), np.where(values < 0.5, values, LOW))


@pytest.mark.parametrize("excluded", [-np.inf, LOW, -1e9])
@pytest.mark.parametrize("where_true", [False, True])
def test_scores_that_a_condition_replaces_are_masked(excluded, where_true):
    b = building()
    causal = np.tril(np.ones((S, S), bool))
    scores = b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1)))
    pair = (np.float32(excluded), scores) if where_true else (scores, np.float32(excluded))
    scores = b("Where", ~causal if where_true else causal, *pair)
    before = b.model(joined(b, b("MatMul", b("Softmax", scores), split(b, "v"))))
    after = fused(before)
    assert ops(after) == ["Where", "edge.Attention"]
    assert_same(before, after, *qkv())


def test_a_query_that_sees_no_key_attends_to_nothing_as_a_guard_against_nan_has_it():
    b = building(mask=("S", "S"))
    scores = b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1)))
    weights = b("Softmax", b("Add", scores, "mask"))
    weights = b("Where", b("IsNaN", weights), 0.0, weights)
    before = b.model(joined(b, b("MatMul", weights, split(b, "v"))))
    after = fused(before)
    assert ops(after) == ["edge.Attention"]
    mask = np.where(np.arange(S)[:, None] == 2, -np.inf, np.zeros((S, S))).astype(np.float32)
    assert_same(before, after, *qkv(), mask)


def test_a_score_that_is_replaced_by_one_that_still_counts_is_not_masked():
    b = building()
    scores = b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1)))
    scores = b("Where", np.tril(np.ones((S, S), bool)), scores, np.float32(-1e4))
    before = b.model(b("MatMul", b("Softmax", scores), split(b, "v")))
    assert "edge.Attention" not in ops(fused(before))


@pytest.mark.parametrize("kv_heads", [1, HEADS])
def test_heads_that_share_keys_and_values_share_them_in_the_operator(kv_heads):
    kv = ("N", "S", kv_heads * D)
    b = Building(q=("N", "S", 2 * WIDTH), k=kv, v=kv)

    def repeated(x):
        heads = b("Unsqueeze", split(b, x, heads=kv_heads), [2])
        many = b("Expand", heads, np.array([1, 1, 2 * HEADS // kv_heads, 1, 1]))
        return b("Reshape", many, [0, 2 * HEADS, -1, D])

    k = b("Transpose", repeated("k"), perm=(0, 1, 3, 2))
    scores = b("Mul", b("MatMul", split(b, "q", heads=2 * HEADS), k), 0.5)
    mixed = b("MatMul", b("Softmax", scores), repeated("v"))
    before = b.model(b("Reshape", b("Transpose", mixed, perm=(0, 2, 1, 3)), [0, 0, 2 * WIDTH]))
    after = fused(before)
    assert ops(after) == ["edge.Attention"]
    assert after.graph.nodes[0].attributes["kv_heads"] == kv_heads
    shape = (2, S, kv_heads * D)
    assert_same(before, after, random(2, S, 2 * WIDTH), random(*shape), random(*shape, seed=1))


def fused_qkv(b, x, cut):
    whole = b("Transpose", b("Reshape", x, [0, 0, 3, HEADS, D]), perm=(2, 0, 3, 1, 4))
    return cut(b, whole)


def by_slices(b, whole):
    parts = [b("Slice", whole, [i], [i + 1], [0], [1]) for i in range(3)]
    return [b("Squeeze", part, [0]) for part in parts]


def by_gathers(b, whole):
    return [b("Gather", whole, np.array(i), axis=0) for i in range(3)]


def by_split(b, whole):
    return [b("Squeeze", part, [0]) for part in b("Split", whole, [1, 1, 1], axis=0, outputs=3)]


@pytest.mark.parametrize("cut", [by_slices, by_gathers, by_split])
def test_one_layer_for_queries_keys_and_values_is_cut_by_columns(cut):
    b = Building(x=("N", "S", 3 * WIDTH))
    q, k, v = fused_qkv(b, "x", cut)
    q = b("Mul", q, 0.5)
    scores = b("MatMul", q, b("Transpose", k, perm=(0, 1, 3, 2)))
    before = b.model(joined(b, b("MatMul", b("Softmax", scores), v)))
    after = fused(before)
    cuts = ["Split"] if cut is by_split else ["Slice"] * 3
    assert ops(after) == [*cuts, "edge.Attention"]
    assert_same(before, after, random(2, S, 3 * WIDTH))


@pytest.mark.parametrize("mask", [None, ("B", "S", "S"), ("S", "S")])
def test_heads_that_are_part_of_the_batch_are_attention_of_one_head(mask):
    shape = ("B", "S", D)
    b = Building(q=shape, k=shape, v=shape, **({} if mask is None else {"mask": mask}))
    scores = b("MatMul", "q", b("Transpose", "k", perm=(0, 2, 1)))
    scores = scores if mask is None else b("Add", "mask", scores)
    before = b.model(b("MatMul", b("Softmax", scores), "v"))
    after = fused(before)
    assert "edge.Attention" in ops(after) and "Softmax" not in ops(after)
    masks = [] if mask is None else [random(*({"B": 4, "S": S}[d] for d in mask), seed=8)]
    assert_same(before, after, *qkv(4, S, D), *masks)


def rotated(b, x, cos, sin):
    """Rotary positions of [N, heads, S, D], half by half."""
    halves = [b("Slice", x, [i], [i + D // 2], [3]) for i in (0, D // 2)]
    turned = b("Concat", b("Neg", halves[1]), halves[0], axis=-1)
    return b("Add", b("Mul", x, cos), b("Mul", turned, sin))


@pytest.mark.parametrize("shape", [("N", 1, "S", D), (1, 1, S, D), (S, D)])
def test_rotary_positions_are_turned_token_by_token(shape):
    constant = "S" not in shape
    b = building(**({} if constant else {"cos": shape, "sin": shape}))
    values = [
        random(*(d if isinstance(d, int) else {"N": 2, "S": S}[d] for d in shape), seed=i)
        for i in (5, 6)
    ]
    pair = values if constant else ("cos", "sin")
    q, k = (rotated(b, split(b, x), *pair) for x in "qk")
    scores = b("MatMul", b("Mul", q, 0.5), b("Transpose", k, perm=(0, 1, 3, 2)))
    before = b.model(joined(b, b("MatMul", b("Softmax", scores), split(b, "v"))))
    after = clean(keep_tokens_first(fused(before)))
    assert "edge.Attention" in ops(after) and "Transpose" not in ops(after)
    assert_same(before, after, *qkv(), *([] if constant else values))


def test_what_tells_heads_apart_stays_head_by_head():
    b = building()
    q = b("Mul", split(b, "q"), random(HEADS, 1, 1))
    scores = b("MatMul", q, split(b, "k", perm=(0, 2, 3, 1)))
    before = b.model(joined(b, b("MatMul", b("Softmax", scores), split(b, "v"))))
    after = clean(keep_tokens_first(fused(before)))
    assert ops(after).count("Transpose") == 2
    assert_same(before, after, *qkv())


# --- what is something else -----------------------------------------------------------------------


def test_a_softmax_over_queries_is_no_attention():
    b = building()
    before = b.model(bert(b, axis=2))
    assert "edge.Attention" not in ops(fused(before))


def test_a_number_behind_the_mask_is_no_scale():
    b = building(mask=("S", "S"))
    scores = b("Add", b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1))), "mask")
    scores = b("Mul", scores, 0.5)
    before = b.model(b("MatMul", b("Softmax", scores), split(b, "v")))
    assert "edge.Attention" not in ops(fused(before))


def test_weights_or_scores_that_somebody_else_reads_stay():
    for op in ("Softmax", "Mul"):
        b = building()
        y = bert(b)
        (middle,) = (node.outputs[0] for node in b.nodes if node.op == op)
        before = b.model(y, b("Neg", middle))
        assert "edge.Attention" not in ops(fused(before))
        given_out = b.model(y, middle)
        assert "edge.Attention" not in ops(fused(given_out))


def test_a_mask_that_makes_scores_larger_is_not_taken():
    b = Building(q=(1, 1, WIDTH), k=(1, 1, WIDTH), v=(1, 1, WIDTH), mask=("M", 1, 1, 1))
    before = b.model(bert(b, mask="mask"))
    assert "edge.Attention" not in ops(fused(before))


def test_weights_that_are_replaced_by_something_else_are_no_attention():
    for other, test in ((1.0, "IsNaN"), (0.0, "IsInf")):
        b = building()
        weights = b("Softmax", b("MatMul", split(b, "q"), split(b, "k", perm=(0, 2, 3, 1))))
        weights = b("Where", b(test, weights), other, weights)
        before = b.model(b("MatMul", weights, split(b, "v")))
        assert "edge.Attention" not in ops(fused(before))


def test_batches_that_may_differ_are_left_to_be_broadcast():
    b = Building(q=("N", "S", WIDTH), k=("M", "S", WIDTH), v=("M", "S", WIDTH))
    before = b.model(bert(b))
    assert "edge.Attention" not in ops(fused(before))
    assert_same(before, fused(before), random(2, S, WIDTH), *qkv(1, S, WIDTH)[1:])


# --- ONNX's own operator --------------------------------------------------------------------------


def named(mask=None, **attributes):
    kv = ("N", S, WIDTH)
    b = Building(q=("N", "T", 2 * WIDTH), k=kv, v=kv)
    more = [] if mask is None else [mask]
    y = b("Attention", "q", "k", "v", *more, q_num_heads=6, kv_num_heads=3, **attributes)
    return b.model(b("Relu", y))


@pytest.mark.parametrize("mask", [None, np.tril(np.ones((S, S), bool)), random(2, 1, 1, S)])
@pytest.mark.parametrize("scale", [{}, {"scale": 0.3}])
def test_onnxs_attention_is_edges(mask, scale):
    before = named(mask, **scale)
    after = fused(before)
    assert [op for op in ops(after) if op != "Where"] == ["edge.Attention", "Relu"]
    assert_same(before, after, random(2, S, 2 * WIDTH), *qkv()[1:])


def test_onnxs_attention_of_split_heads_is_edges_too():
    shape = ("N", HEADS, "S", D)
    b = Building(q=shape, k=shape, v=shape)
    before = b.model(b("Attention", "q", "k", "v"))
    after = fused(before)
    assert "edge.Attention" in ops(after) and "Attention" not in ops(after)
    assert_same(before, after, *qkv(2, HEADS, S, D))


@pytest.mark.parametrize("more", [{"is_causal": 1}, {"softcap": 5.0}, {"left_window_size": 2}])
def test_what_edges_attention_lacks_stays_onnxs(more):
    assert ops(fused(named(**more))) == ["Attention", "Relu"]


def test_a_mask_shorter_than_the_keys_stays_onnxs():
    assert ops(fused(named(random(S, S - 1)))) == ["Attention", "Relu"]
