"""Graphs run by kernels give what their operators are defined to give."""

import gc
import weakref
from contextlib import closing, suppress

import numpy as np
import pytest
from graph_files import Building, in_numpy, kernels_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import EdgeError, FormatError, InputError
from edge.format.graph import Graph, Node, Value
from edge.runtime.graph.runner import KEPT
from edge.runtime.graph_model import GraphModel

SAME = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}  # of a 3x3 window
CLOSE = {"float32": 2e-5, "float16": 2e-5, "int8": 4e-2}  # of the largest result, by format


def assert_alike(found, expected, share):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        largest = np.abs(other).max(initial=0)
        assert np.abs(one - other).max(initial=0) <= share * (largest + 1e-6)


def image(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def inverted_residual(b, x, channels, form):
    """MobileNet's block, with squeeze and excitation."""
    wide = b(
        "Clip", b.conv(x, channels, 72, form), b.constant(np.float32(0)), b.constant(np.float32(6))
    )
    deep = b("HardSwish", b("edge.Depthwise", wide, b.floats(3, 3, 72), b.floats(72), **SAME))
    pooled = b("ReduceMean", deep, b.constant(np.array([1, 2])), keepdims=1)
    gate = b("HardSigmoid", b.linear(b("Relu", b.linear(pooled, 72, 24, form)), 24, 72, form))
    return b("Add", b.linear(b("Mul", deep, gate), 72, channels, form), x)


@pytest.mark.parametrize("form", CLOSE)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_convolutional_network(tmp_path, kernels, form, threads):
    b = Building()
    x = b("Transpose", "x", perm=(0, 2, 3, 1))
    x = b.conv(x, 3, 24, "float32", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    x = inverted_residual(b, b("Relu", x), 24, form)
    x = b("Relu", b.conv(x, 24, 40, form, kernel=(3, 3), pads=(0, 1, 1, 0), dilations=(1, 2)))
    logits = b.linear(b("ReduceMean", x, b.constant(np.array([1, 2])), keepdims=0), 40, 10, form)
    y = b("Transpose", x, perm=(0, 3, 1, 2))
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [b("Softmax", logits), y])
    with closing(GraphModel(file, threads=threads, kernels=kernels)) as model:
        for shape in ((2, 3, 19, 23), (1, 3, 8, 8), (2, 3, 19, 23)):  # bound again, and once more
            feeds = {"x": image(*shape)}
            assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE[form])
        if kernels.source != "numpy":
            assert kernels_of(model)[1] == []


@pytest.mark.parametrize("form", CLOSE)
def test_a_transformer_block(tmp_path, form):
    b, width = Building(), 96
    names = [b.linear("x", width, width, form) for _ in "qkv"]
    mixed = b("edge.Attention", *names, "mask", heads=3, kv_heads=3, scale=0.2)
    x = b("Add", b.linear(mixed, width, width, form), "x")
    x = b("LayerNormalization", x, b.floats(width), b.floats(width), axis=-1, epsilon=1e-5)
    y = b(
        "Add", b.linear(b("Gelu", b.linear(x, width, 2 * width, form)), 2 * width, width, form), x
    )
    y = b("RMSNormalization", y, b.floats(width), axis=-1, epsilon=1e-5)
    file = b.write(tmp_path / "m.edge", {"x": "float32", "mask": "float32"}, [y])
    with closing(GraphModel(file, threads=2)) as model:
        for tokens in (1, 17, 5):
            mask = np.where(np.arange(tokens) < tokens - 1, 0, -1e4).astype(np.float32)
            feeds = {"x": image(2, tokens, width), "mask": mask.reshape(1, 1, 1, tokens)}
            assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE[form])
        assert kernels_of(model)[1] == []


@pytest.mark.parametrize("form", CLOSE)
@pytest.mark.parametrize("width", [1, 3, 4, 5, 7, 8, 10, 13, 21])
def test_rows_of_any_number_of_pixels(tmp_path, kernels, form, width):
    """The last ones of a row are done again with some before them; not where they are added to."""
    b = Building()
    y = b.conv("x", 20, 40, form, kernel=(3, 3), pads=(1, 1, 1, 1))  # three tiles of 16 channels
    y = b("Add", b.conv(y, 40, 40, form, kernel=(3, 3), pads=(1, 1, 1, 1)), y)
    y = b("Relu", b.conv(y, 40, 16, form, kernel=(3, 3), pads=(1, 1, 1, 1), dilations=(1, 1)))
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [y])
    feeds = {"x": image(2, 3, width, 20)}
    with closing(GraphModel(file, threads=2, kernels=kernels)) as model:
        assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE[form])


@pytest.mark.parametrize("form", CLOSE)
def test_a_convolution_that_adds_what_it_reads(tmp_path, form):
    """Of an image that was moved for it: also for what is added."""
    b = Building()
    x = b("Transpose", "x", perm=(0, 2, 3, 1))
    y = b("Add", b.conv(x, 24, 24, form, kernel=(3, 3), **SAME), x)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [y])
    feeds = {"x": image(2, 24, 6, 9)}
    with closing(GraphModel(file)) as model:
        assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE[form])


@pytest.mark.parametrize("channels", [1, 3, 16, 24, 33])
@pytest.mark.parametrize("coded", [False, True], ids=["floats", "codes"])
def test_pixels_are_joined_whatever_pads_them(tmp_path, kernels, channels, coded):
    b = Building()
    x = b.conv("x", 5, channels, "float32")
    y = b("Swish", x)
    z = b.conv(y, channels, 8, "int8", kernel=(3, 3), pads=(2, 1, 1, 2)) if coded else b("Neg", y)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [z] if coded else [y, z])
    for shape in ((2, 6, 7, 5), (1, 13, 1, 5), (3, 1, 11, 5)):
        feeds = {"x": image(*shape)}
        with closing(GraphModel(file, threads=2, kernels=kernels)) as model:
            share = CLOSE["int8" if coded else "float32"]
            assert_alike(model.run(feeds), in_numpy(file, feeds), share)


def test_elementwise_operators_become_one_kernel(tmp_path):
    b = Building()
    y = b("Mul", b("Sigmoid", b("Add", "x", b.floats(1, 1, 33))), b("Sub", "x", "z"))
    file = b.write(tmp_path / "m.edge", {"x": "float32", "z": "float32"}, [y])
    feeds = {"x": image(2, 5, 33), "z": image(2, 1, 1, seed=2)}
    with closing(GraphModel(file)) as model:
        assert_alike(model.run(feeds), in_numpy(file, feeds), 2e-5)
        assert kernels_of(model) == (["elementwise"], [])


KINDS = ("unary", "binary", "vector", "turn", "cut", "linear", "conv", "view", "window")
UNARY = ("Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Gelu", "HardSwish", "Swish", "LeakyRelu")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_graphs_of_what_moves_and_combines(tmp_path, data):
    """Values of one image, in any order: read often, moved, cut and joined, kept as outputs."""
    draw, b = data.draw, Building()
    n, h, w, c = (draw(st.integers(1, most)) for most in (2, 5, 6, 37))
    values = ["x"]
    for _ in range(draw(st.integers(1, 9))):
        x = draw(st.sampled_from(values))
        kind = draw(st.sampled_from(KINDS))
        if kind == "unary":
            y = b(draw(st.sampled_from(UNARY)), x)
        elif kind == "binary":
            y = b(draw(st.sampled_from(BINARY)), x, draw(st.sampled_from(values)))
        elif kind == "vector":
            shape = draw(st.sampled_from([(c,), (1,), (w, 1), (h, 1, c), (n, 1, 1, c)]))
            y = b(draw(st.sampled_from(BINARY)), x, b.floats(*shape))
        elif kind == "turn":
            y = b("Transpose", b("Transpose", x, perm=(0, 3, 1, 2)), perm=(0, 2, 3, 1))
        elif kind == "cut":
            at = draw(st.integers(1, c))
            parts = [
                b("Slice", x, *(b.constant(np.array([i])) for i in (begin, end, 3, 1)))
                for begin, end in ((at, c), (0, at))
            ]
            y = b("Concat", *parts, axis=3) if at < c else parts[1]
        elif kind == "linear":
            y = b.linear(x, c, c, draw(st.sampled_from(list(CLOSE))))
        elif kind == "conv":
            y = b.conv(x, c, c, draw(st.sampled_from(list(CLOSE))), **{**SAME, "kernel": (3, 3)})
        elif kind == "view":
            flat, whole = (b.constant(np.array(sizes)) for sizes in ((n, h * w, c), (n, h, w, c)))
            flat = b("Reshape", x, flat)
            values.append(b("Reshape", b(draw(st.sampled_from(UNARY)), flat), whole))
            y = b("Reshape", flat, whole)
        else:
            y = b("edge.Depthwise", x, b.floats(3, 3, c), "", **SAME)
        values.append(y)
    outputs = [values[-1], *draw(st.lists(st.sampled_from(values[1:]), max_size=2))]
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, list(dict.fromkeys(outputs)))
    feeds = {"x": image(n, h, w, c)}
    with closing(GraphModel(file, threads=2)) as model:
        expected = in_numpy(file, feeds)
        # int8 layers follow one another, and each adds its own rounding.
        share = 0.3 if any(form == "int8" for _, _, form in b.matrices.values()) else 1e-4
        assert_alike(model.run(feeds), expected, share)
        assert_alike(model.run(feeds), expected, share)


def test_shapes_that_only_show_while_it_runs(tmp_path):
    """What is positive of a vector, by number, and the rest of the graph on those."""
    b = Building()
    positive = b("NonZero", b("Greater", "x", b.constant(np.float32(0))))
    numbers = b("Reshape", positive, b.constant(np.array([-1])))
    rows = b("Gather", b.floats(9, 24), numbers, axis=0)
    y = b("Relu", b.linear(rows, 24, 20))
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [y, b("Neg", "x")])
    with closing(GraphModel(file)) as model:
        for seed in range(4):
            feeds = {"x": image(9, seed=seed)}
            assert_alike(model.run(feeds), in_numpy(file, feeds), 2e-5)
        kernels, operators = kernels_of(model)
    assert {"elementwise", "convolution-float32"} <= set(kernels) and "Gather" in operators


def test_branches_and_loops_run_with_kernels(tmp_path):
    b = Building()
    scaled = b.linear("x", 8, 8)
    inner = b.nodes.pop()
    branch = Graph((), (Value(scaled, "float32"),), (inner,))
    other = Graph((), (Value("o", "float32"),), (Node("Neg", ("x",), ("o",)),))
    y = b("If", "flag", then_branch=branch, else_branch=other)
    body = Graph(
        (Value("i", "int64"), Value("go", "bool"), Value("s", "float32")),
        (Value("on", "bool"), Value("t", "float32")),
        (Node("Identity", ("go",), ("on",)), Node("Tanh", ("s",), ("t",))),
    )
    z = b("Loop", b.constant(np.int64(3)), b.constant(np.bool_(True)), y, body=body)
    file = b.write(tmp_path / "m.edge", {"x": "float32", "flag": "bool"}, [y, z])
    with closing(GraphModel(file)) as model:
        for flag in (True, False):
            feeds = {"x": image(3, 8), "flag": np.array(flag)}
            assert_alike(model.run(feeds), in_numpy(file, feeds), 2e-5)
        assert {"convolution-float32", "elementwise"} <= set(kernels_of(model)[0])


def test_a_number_beyond_a_table_of_rows_is_an_error(tmp_path):
    b = Building()
    b.linear("x", 16, 5)
    b.nodes.clear()
    b.matrices["m0"] = (b.matrices["m0"][0], None, "float32")
    y = b("edge.Embedding", "ids", weight="m0")
    file = b.write(tmp_path / "m.edge", {"ids": "int64"}, [y])
    with closing(GraphModel(file)) as model:
        ids = np.array([[4, -1, 0], [-5, 2, 3]])
        assert np.array_equal(model.run({"ids": ids})[0], in_numpy(file, {"ids": ids})[0])
        with pytest.raises(InputError, match=r"number 5, expected -5\.\.4"):
            model.run({"ids": np.array([[1, 5, 0], [1, 1, 1]])})


@pytest.mark.parametrize(
    "wrong",
    [
        {"strides": (0, 1)},
        {"pads": (-1, 0, 0, 0)},
        {"dilations": (1, 0)},
        {"kernel": (2, 1)},
        {"channels": 15},
        {"kernel": (1.0, 1)},
    ],
)
def test_layers_that_do_not_fit_their_matrix_are_refused_before_a_kernel_sees_them(tmp_path, wrong):
    b = Building()
    y = b.conv("x", 16, 16)
    b.nodes[-1].attributes.update(wrong)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [y])
    with closing(GraphModel(file)) as model, pytest.raises(FormatError, match="node 0"):
        model.run({"x": image(1, 4, 4, 16)})


def test_values_share_memory_only_where_they_do_not_live_together(tmp_path):
    """A chain of layers needs two buffers, however long it is."""
    sizes = []
    for layers in (4, 16):
        b, x = Building(), "x"
        for _ in range(layers):
            x = b("edge.Depthwise", x, b.floats(3, 3, 16), "", **SAME)
        file = b.write(tmp_path / f"{layers}.edge", {"x": "float32"}, [x])
        with closing(GraphModel(file)) as model:
            model.run({"x": image(1, 64, 64, 16)})
            (program,) = model.programs()
            sizes.append(program.memory.end - program.memory.begin)
    assert sizes[0] == sizes[1]


def test_programs_of_shapes_that_are_not_met_again_are_let_go(tmp_path):
    b = Building()
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [b.linear("x", 8, 8)])
    with closing(GraphModel(file, threads=2)) as model:
        for rows in range(1, 3 * KEPT):
            feeds = {"x": image(rows, 8, seed=rows)}
            assert_alike(model.run(feeds), in_numpy(file, feeds), 2e-5)
        alive = [weakref.ref(program) for program in model.programs()]
        for rows in range(100, 100 + KEPT):
            model.run({"x": image(rows, 8)})
        gc.collect()
        assert not any(reference() for reference in alive)
        assert len(list(model.programs())) == KEPT


def test_layers_that_read_floats_round_nothing(tmp_path):
    """A linear layer has a kernel; a convolution is NumPy's, as nobody exports it."""
    b = Building()
    wide = b("Relu", b.linear("x", 40, 24, "w8a16"))
    y = b.conv(wide, 24, 16, "w8a16", kernel=(3, 3), pads=(1, 1, 1, 1))
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [wide, y])
    with closing(GraphModel(file, threads=2)) as model:
        feeds = {"x": image(2, 5, 7, 40)}
        assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE["float32"])
        kernels, in_python = kernels_of(model)
        assert "weight-only-int8" in kernels and in_python == ["edge.Conv"]


def test_a_value_that_two_layers_want_in_codes_of_their_own(tmp_path):
    """A convolution with borders and one without read it."""
    b = Building()
    x = b("HardSwish", "x")
    wide = b.conv(x, 40, 24, "int8", kernel=(3, 3), pads=(1, 1, 1, 1))
    y = b("Mul", wide, b.linear(x, 40, 24, "int8"))
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [y])
    feeds = {"x": image(2, 7, 9, 40)}
    with closing(GraphModel(file, threads=2)) as model:
        assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE["int8"])


@pytest.mark.parametrize("strides, pads", [((1, 1), (1, 1, 1, 1)), ((2, 2), (0, 0, 1, 1))])
def test_images_too_large_for_the_cache_are_made_in_bands(tmp_path, strides, pads):
    b = Building()
    wide = b("Relu", b.linear("x", 8, 96, "int8"))
    window = {"strides": strides, "pads": pads, "dilations": (1, 1)}
    deep = b("edge.Depthwise", wide, b.floats(3, 3, 96), b.floats(96), **window)
    file = b.write(tmp_path / "m.edge", {"x": "float32"}, [b.linear(deep, 96, 8, "int8")])
    feeds = {"x": image(2, 91, 87, 8)}
    with closing(GraphModel(file, threads=2)) as model:
        assert_alike(model.run(feeds), in_numpy(file, feeds), CLOSE["int8"])
        (program,) = model.programs()
        assert program.memory.end - program.memory.begin < 4 * 2 * 91 * 87 * 96


BAD = (-1, 0, 2, 10**12, 1.5, "x", (), (0, 0), (-1, 3), (3, 3, 3), (9, 9, 9, 9), (2**40, 1))


def network():
    """Most operators that have kernels, and the names of what it gives."""
    b = Building()
    x = b("Transpose", "x", perm=(0, 2, 3, 1))
    x = b("Relu", b.conv(x, 3, 16, kernel=(3, 3), pads=(1, 1, 1, 1)))
    x = b("edge.Depthwise", x, b.floats(3, 3, 16), b.floats(16), **SAME)
    x = b("edge.MaxPool", x, kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0), dilations=(1, 1))
    x = b("Concat", x, b("Gelu", x), axis=3)
    x = b("edge.DepthToSpace", x, block=(2, 2))
    x = b("Slice", x, *(b.constant(np.array([i])) for i in (1, 4, 2, 1)))
    tokens = b("Reshape", x, b.constant(np.array([1, -1, 8])))
    q, k, v = (b.linear(tokens, 8, 32, form) for form in ("float32", "int8", "int8"))
    mixed = b("edge.Attention", q, k, v, heads=2, kv_heads=2, scale=0.3)
    y = b("LayerNormalization", mixed, b.floats(32), b.floats(32), axis=-1, epsilon=1e-5)
    return b, [b("Softmax", y, axis=-1), b("Split", y, outputs=2, axis=2, num_outputs=2)[1]]


def attributes_of_a_network():
    nodes = network()[0].nodes
    return [(i, key) for i, node in enumerate(nodes) for key in node.attributes]


@pytest.mark.parametrize("index, key", attributes_of_a_network())
def test_whatever_a_file_says_of_a_node_ends_in_a_result_or_an_error_with_a_name(
    tmp_path, index, key
):
    for number, value in enumerate(BAD):
        b, outputs = network()
        b.nodes[index].attributes[key] = value
        file = b.write(tmp_path / f"{number}.edge", {"x": "float32"}, outputs)
        with suppress(EdgeError), closing(GraphModel(file, threads=1)) as model:
            model.run({"x": image(1, 3, 8, 8)})
