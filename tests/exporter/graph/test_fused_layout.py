"""Convolutions have their channels last, and so has what is between them."""

import numpy as np
import pytest

from edge.exporter.graph.fuse.channels_last import channels_last
from edge.exporter.graph.fuse.cleanup import clean
from edge.format.graph import Graph, Node, Value
from tests.exporter.graph.building import Building, assert_same, ops, outputs, random

C = 6


def lowered(model):
    return clean(channels_last(model))


def image(b, x="x", channels=C):
    """A convolution's output, which has its channels last."""
    return b("Conv", x, random(C, channels, 3, 3), random(C, seed=1), pads=(1, 1, 1, 1))


def check(build, own, shape=("N", C, "H", "W"), feed=(2, C, 8, 10)):
    """A convolution, what `build` adds, and another one: between Transposes at the ends only."""
    b = Building(x=shape)
    y = build(b, image(b))
    before = b.model(b("Conv", y, random(4, y_channels(b, y, feed), 1, 1)))
    after = lowered(before)
    found = ops(after)
    assert found[0] == "Transpose" and found[-1] == "Transpose"
    assert found[1:-1] == ["edge.Conv", *own, "edge.Linear"]
    assert_same(before, after, random(*feed))


def y_channels(b, y, feed):
    return outputs(b.model(y), {"x": random(*feed)})[0].shape[1]


# --- convolutions ---------------------------------------------------------------------------------

GEOMETRIES = [
    {},
    {"pads": (1, 0, 2, 1)},
    {"strides": (2, 1), "pads": (1, 1, 1, 1)},
    {"dilations": (1, 2)},
    {"auto_pad": "VALID", "strides": (2, 2)},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER", "strides": (3, 2)},
]


@pytest.mark.parametrize("attributes", GEOMETRIES)
@pytest.mark.parametrize("groups, own", [(1, "edge.Conv"), (20, "edge.Depthwise")])
def test_a_convolution_of_images_is_edges_own(attributes, groups, own):
    b = Building(x=("N", 20, 9, 12))
    w = random(20, 20 // groups, 3, 2)
    before = b.model(b("Conv", "x", w, random(20, seed=1), group=groups, **attributes))
    after = channels_last(before)
    assert ops(after) == ["Transpose", own, "Transpose"]
    assert_same(before, after, random(2, 20, 9, 12))


@pytest.mark.parametrize("groups, own", [(1, "edge.Conv"), (5, "edge.Depthwise")])
def test_a_convolution_of_signals_is_one_of_images_of_height_one(groups, own):
    b = Building(x=("N", 5, "T"))
    y = b("Conv", "x", random(5, 5 // groups, 3), group=groups, strides=(2,), pads=(2, 1))
    before = b.model(b("Conv", b("Relu", y), random(4, 5, 1)))
    after = lowered(before)
    assert [op for op in ops(after) if op not in ("Reshape", "Squeeze", "Unsqueeze")] == [
        *("Transpose", own, "Relu", "edge.Linear", "Transpose")
    ]
    assert_same(before, after, random(2, 5, 11))


@pytest.mark.parametrize("length, folds", [(48, True), (47, False), ("T", False)])
def test_a_signal_of_few_channels_is_seen_in_runs_where_they_fit(length, folds):
    b = Building(x=("N", 2, length))
    y = b("Conv", "x", random(5, 2, 16), random(5), strides=(8,), pads=(8, 0))
    before = b.model(y)
    after = channels_last(before)
    (matrix,) = after.matrices.values()
    assert matrix.weight.shape == ((5, 2 * 16) if folds else (5, 16 * 16))
    assert_same(before, after, random(2, 2, 47 if length == 47 else 48))


def test_a_kernel_of_one_element_is_a_product_unless_it_strides_or_pads():
    for attributes, own in (
        ({}, "edge.Linear"),
        ({"strides": (2, 2)}, "edge.Conv"),
        ({"pads": (0, 1, 0, 0)}, "edge.Conv"),
    ):
        b = Building(x=("N", C, "H", "W"))
        before = b.model(b("Conv", "x", random(8, C, 1, 1), random(8), **attributes))
        after = channels_last(before)
        assert ops(after)[1] == own
        assert_same(before, after, random(2, C, 5, 6))


def test_the_matrix_of_a_convolution_has_taps_of_sixteen_channels():
    b = Building(x=("N", 3, 8, 8))
    w = random(5, 3, 2, 2)
    after = channels_last(b.model(b("Conv", "x", w)))
    (matrix,) = after.matrices.values()
    by_tap = matrix.weight.reshape(5, 2, 2, 16)
    assert np.array_equal(by_tap[..., :3], w.transpose(0, 2, 3, 1)) and not by_tap[..., 3:].any()


@pytest.mark.parametrize("kernel, strides", [((1, 1), (1, 1)), ((3, 3), (2, 1)), ((1, 1), (2, 2))])
@pytest.mark.parametrize(
    "channels, rows, groups, blocks",
    [(48, 96, 3, 3), (32, 16, 4, 1), (64, 64, 16, 4), (6, 9, 3, 1)],
)
def test_groups_are_convolutions_side_by_side_of_sixteen_channels_or_more(
    channels, rows, groups, blocks, kernel, strides
):
    b = Building(x=("N", channels, "H", "W"))
    w = random(rows, channels // groups, *kernel)
    y = b("Conv", "x", w, random(rows), group=groups, strides=strides)
    before = b.model(y)
    after = lowered(before)
    own = "edge.Linear" if kernel == strides == (1, 1) else "edge.Conv"
    between = ["Split", *[own] * blocks, "Concat"] if blocks > 1 else [own]
    assert ops(after) == ["Transpose", *between, "Transpose"]
    assert_same(before, after, random(2, channels, 5, 6))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("biased", [False, True])
def test_groups_of_signals_are_side_by_side_too(kernel, biased):
    b = Building(x=("N", 32, "T"))
    bias = [random(48)] if biased else []
    y = b("Conv", "x", random(48, 16, kernel), *bias, group=2, pads=(kernel - 1, 0))
    before = b.model(b("Relu", y))
    after = lowered(before)
    assert "Conv" not in ops(after) and ops(after).count("Split") == 1
    assert_same(before, after, random(2, 32, 7))


@pytest.mark.parametrize("shape", [(3, 3), (3,)])
def test_a_depthwise_convolution_makes_several_channels_of_each(shape):
    b = Building(x=("N", C, "T", 5)[: 2 + len(shape)])
    before = b.model(b("Conv", "x", random(3 * C, 1, *shape), random(3 * C), group=C))
    after = lowered(before)
    assert "Gather" in ops(after) and "edge.Depthwise" in ops(after)
    assert_same(before, after, random(*(2, C, 6, 5)[: 2 + len(shape)]))


def test_a_shuffle_of_channels_is_one_look_up():
    b = Building(x=("N", C, "H", "W"))
    split = b("Reshape", image(b), b("Concat", [-1, 2, 3], b("Shape", "x", start=2), axis=0))
    turned = b("Transpose", split, perm=(0, 2, 1, 3, 4))
    joined = b("Reshape", turned, b("Shape", "x"))
    before = b.model(b("Relu", joined))
    after = lowered(before)
    assert ops(after) == ["Transpose", "edge.Conv", "Gather", "Relu", "Transpose"]
    assert_same(before, after, random(2, C, 5, 6))


def test_weights_that_are_computed_stay_as_they_are():
    b = Building(x=("N", C, 8, 8), w=(C, 1, 3, 3), bias=(4,))
    computed = b("Conv", "x", "w", group=C)
    shifted = b("Conv", "x", random(4, C, 3, 3), "bias")
    before = b.model(computed, shifted)
    assert set(ops(channels_last(before))) == {"Conv"}


def test_padding_that_depends_on_an_unknown_size_leaves_the_convolution():
    b = Building(x=("N", C, "H", "W"))
    before = b.model(b("Conv", "x", random(4, C, 3, 3), auto_pad="SAME_UPPER", strides=(2, 2)))
    assert ops(channels_last(before)) == ["Conv"]


def test_a_transposed_convolution_that_does_not_overlap_is_a_product_and_a_move():
    b = Building(x=("N", C, "H", "W"))
    y = b("ConvTranspose", "x", random(C, 3, 2, 3), random(3), strides=(2, 3))
    before = b.model(y)
    after = channels_last(before)
    assert ops(after) == ["Transpose", "edge.Linear", "edge.DepthToSpace", "Transpose"]
    assert_same(before, after, random(2, C, 4, 5))
    b = Building(x=("N", C, "H", "W"))
    before = b.model(b("ConvTranspose", "x", random(C, 3, 3, 3), strides=(2, 2)))
    assert ops(channels_last(before)) == ["ConvTranspose"]


# --- what is between them -------------------------------------------------------------------------

channel_vector = random(C, 1, 1, seed=3)
BETWEEN = {
    "relu": (lambda b, x: b("Relu", x), ["Relu"]),
    "clip": (lambda b, x: b("Clip", x, 0.0, 6.0), ["Clip"]),
    "channel constants": (
        lambda b, x: b("Mul", b("Add", channel_vector, x), random(1, C, 1, 1)),
        ["Add", "Mul"],
    ),
    "a constant image": (lambda b, x: b("Add", x, random(8, 10)), ["Add"]),
    "a number": (lambda b, x: b("Div", x, np.full((1, 1, 1, 1), 3.0)), ["Div"]),
    "a residual": (lambda b, x: b("Add", b("Relu", x), x), ["Relu", "Add"]),
    "where": (lambda b, x: b("Where", b("Greater", x, 0.0), x, 0.5), ["Greater", "Where"]),
    "concat": (lambda b, x: b("Concat", x, b("Neg", x), axis=1), ["Neg", "Concat"]),
    "concat of a constant": (
        lambda b, x: b("Concat", x, random(2, 3, 8, 10), axis=-3),
        ["Concat"],
    ),
    "softmax": (lambda b, x: b("Softmax", x, axis=1), ["Softmax"]),
    "slice": (lambda b, x: b("Slice", x, [1, 0], [4, 6], [1, 3], [1, 2]), ["Slice"]),
    "slice by default": (lambda b, x: b("Slice", x, [0, 2], [9, 5]), ["Slice"]),
    "split": (
        lambda b, x: b("Add", *b("Split", x, [3, 3], axis=1, outputs=2)),
        ["Split", "Add"],
    ),
    "pad": (lambda b, x: b("Pad", x, [0, 1, 0, 2, 0, 0, 3, 0], 0.5), ["Pad"]),
    "pad of axes": (lambda b, x: b("Pad", x, [1, 2], 0.0, [-1]), ["Pad"]),
    "resize by scales": (
        lambda b, x: b("Resize", x, "", [1.0, 1.0, 2.0, 3.0], mode="nearest"),
        ["Resize"],
    ),
    "resize of axes": (
        lambda b, x: b("Resize", x, "", "", [5, 7], axes=(2, 3), mode="linear"),
        ["Resize"],
    ),
    "squeeze and excite": (
        lambda b, x: b("Mul", x, b("HardSigmoid", b("GlobalAveragePool", x))),
        ["ReduceMean", "HardSigmoid", "Mul"],
    ),
    "reduce": (lambda b, x: b("ReduceMax", x, [1], keepdims=1), ["ReduceMax"]),
    "max pool": (
        lambda b, x: b("MaxPool", x, kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 1)),
        ["edge.MaxPool"],
    ),
    "max pool rounded up": (
        lambda b, x: b("MaxPool", x, kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1),
        ["edge.MaxPool"],
    ),
    "max pool dilated": (
        lambda b, x: b("MaxPool", x, kernel_shape=(3, 3), dilations=(2, 2), auto_pad="SAME_UPPER"),
        ["edge.MaxPool"],
    ),
    "average pool": (
        lambda b, x: b("AveragePool", x, kernel_shape=(3, 3), pads=(1, 1, 1, 1)),
        ["edge.AveragePool"],
    ),
    "average pool with padding counted": (
        lambda b, x: b(
            "AveragePool", x, kernel_shape=(3, 3), pads=(1, 1, 1, 1), count_include_pad=1
        ),
        ["edge.AveragePool"],
    ),
    "average pool rounded up": (
        lambda b, x: b(
            "AveragePool",
            x,
            kernel_shape=(3, 3),
            strides=(2, 2),
            pads=(1, 1, 0, 0),
            ceil_mode=1,
            count_include_pad=1,
        ),
        ["edge.AveragePool"],
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_between_convolutions_works_with_channels_last(name):
    build, own = BETWEEN[name]
    check(build, own)


def test_depth_to_space_is_a_move_of_blocks():
    check(
        lambda b, x: b("DepthToSpace", b("Conv", x, random(12, C, 1, 1)), blocksize=2),
        [*("edge.Linear", "edge.DepthToSpace")],
    )
    b = Building(x=("N", 12, "H", "W"))
    y = b("DepthToSpace", b("Relu", b("Conv", "x", random(12, 12, 1, 1))), blocksize=2, mode="CRD")
    before = b.model(y)
    after = lowered(before)
    assert ops(after)[-2:] == ["Transpose", "DepthToSpace"]
    assert_same(before, after, random(2, 12, 3, 4))


def test_pooling_of_all_places_and_a_classifier_need_no_transpose():
    b = Building(x=("N", C, "H", "W"))
    pooled = b("Flatten", b("GlobalAveragePool", image(b)))
    before = b.model(b("Gemm", pooled, random(C, 4)))
    after = lowered(before)
    assert ops(after) == ["Transpose", "edge.Conv", "ReduceMean", "Reshape", "Gemm"]
    assert_same(before, after, random(2, C, 5, 6))


@pytest.mark.parametrize("axes, kept", [([2, 3], 0), ([1], 0), ([3], 0), ([2], 1), ([-2, -1], 1)])
def test_reductions_over_any_axes_keep_their_shape(axes, kept):
    b = Building(x=("N", C, "H", "W"))
    before = b.model(b("ReduceSum", b("Relu", image(b)), axes, keepdims=kept))
    after = lowered(before)
    assert "ReduceSum" in ops(after)
    assert_same(before, after, random(2, C, 5, 6))


def test_images_become_sequences_and_sequences_images_without_a_transpose():
    b = Building(x=("N", C, 1, "W"))
    y = b("Transpose", b("Squeeze", b("Relu", image(b)), [2]), perm=(0, 2, 1))
    y = b("LayerNormalization", y, np.ones(C), np.zeros(C), axis=-1)
    z = b("Transpose", b("Reshape", y, [0, 1, -1, C]), perm=(0, 3, 1, 2))
    before = b.model(b("Conv", z, random(3, C, 1, 1)))
    after = lowered(before)
    assert ops(after) == [
        *("Transpose", "edge.Conv", "Relu", "LayerNormalization", "edge.Linear", "Transpose")
    ]
    assert_same(before, after, random(2, C, 1, 7))


def test_places_of_an_image_become_tokens_without_a_transpose():
    b = Building(x=("N", C, "H", "W"))
    flat = b("Reshape", image(b), [0, C, -1])
    before = b.model(b("Relu", b("Transpose", flat, perm=(0, 2, 1))))
    after = lowered(before)
    assert ops(after) == ["Transpose", "edge.Conv", "Relu", "Reshape"]
    assert_same(before, after, random(2, C, 5, 6))


def test_a_shape_is_looked_up_without_a_transpose():
    b = Building(x=("N", C, "H", "W"))
    y = image(b)
    before = b.model(b("Shape", y, start=1), b("Conv", y, random(3, C, 1, 1)))
    after = lowered(before)
    assert ops(after).count("Transpose") == 2
    assert_same(before, after, random(2, C, 5, 6))


def test_what_needs_channels_second_gets_them_once():
    b = Building(x=("N", C, "H", "W"))
    y = image(b)
    both = b("Add", b("CumSum", y, np.array(2)), b("CumSum", y, np.array(3)))
    before = b.model(both, b("Relu", y))
    after = lowered(before)
    assert ops(after).count("Transpose") == 3  # the input, for both sums, the other output
    assert_same(before, after, random(2, C, 5, 6))


def test_an_output_in_the_middle_has_its_channels_second():
    b = Building(x=("N", C, "H", "W"))
    y = image(b)
    before = b.model(y, b("Conv", b("Relu", y), random(3, C, 1, 1)))
    after = lowered(before)
    assert_same(before, after, random(2, C, 5, 6))


def test_inputs_of_other_ranks_are_left_to_be_broadcast_as_they_are():
    b = Building(x=("N", C, "H", "W"), v=(C, 1, 1))
    before = b.model(b("Conv", b("Mul", image(b), "v"), random(3, C, 1, 1)))
    after = lowered(before)
    assert_same(before, after, random(2, C, 5, 6), random(C, 1, 1))


def test_convolutions_inside_of_branches_are_lowered_too():
    b = Building(x=("N", C, "H", "W"))
    w = b.constant(random(3, C, 3, 3), "w")
    branches = {
        name: Graph((), (Value(f"{name}.y", ""),), (Node(op, ("x", w)[:n], (f"{name}.y",)),))
        for name, op, n in (("then_branch", "Conv", 2), ("else_branch", "Neg", 1))
    }
    before = b.model(b("If", np.array(True), **branches))
    after = lowered(before)
    assert ops(after) == ["If", "Transpose", "edge.Conv", "Transpose", "Neg"]
    x = random(2, C, 5, 6)
    (wanted,), (found,) = (outputs(model, {"x": x}) for model in (before, after))
    bound = 9 * C * np.finfo(np.float32).eps * abs(x).max() * abs(random(3, C, 3, 3)).sum()
    assert (abs(found - wanted) <= bound).all()
