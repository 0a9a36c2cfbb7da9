"""Graphs quantized by recipes: weights, activations, what data decides."""

from dataclasses import replace

import numpy as np
import pytest

from edge.errors import RecipeError, SourceError
from edge.exporter.graph.activity import observe
from edge.exporter.graph.bias import correct_biases
from edge.exporter.graph.forward import run
from edge.exporter.graph.layers import Layer
from edge.exporter.graph.narrow import on_grid
from edge.exporter.graph.plan import plan
from edge.exporter.graph.quantization import check_finite, quantize_graph, rounded
from edge.exporter.language import parse
from edge.exporter.layer_error import output_error
from edge.exporter.quantize import Method, quantize
from edge.format.formats import WeightFormat
from edge.format.graph import Node
from edge.runtime.graph.widened import widened
from edge.runtime.host_ops.edge_ops import conv as defined_conv
from tests.exporter.graph.rounded_graphs import error, floats, outputs, quantized
from tests.exporter.graph.small_graphs import (
    conv,
    convolutions,
    matrix,
    samples,
    stack,
)


def test_int8_has_a_scale_a_row_and_weights_move_by_half_a_step_at_most():
    model = stack()
    stored = quantized(model, "int8").stored["fc0"]
    assert str(stored.format) == "int8"
    assert stored.tensor.scales.shape == (64, 1)
    moved = np.abs(stored.weight - model.matrices["fc0"].weight)
    assert (moved <= stored.tensor.scales / 2 * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    "text, form",
    [
        ("int8", "int8"),
        ("w8a8", "int8"),
        ("int8-g32", "int8-g32"),
        ("int4", "int4-g32-offset"),
        ("int4-g64", "int4-g64-offset"),
        ("int6", "int6-g256"),
        ("float16", "float16"),
        ("float32", "float32"),
        ("keep", "float32"),
        ("int8,*2=int4", "int4-g32-offset"),
    ],
)
def test_recipes_mean_what_they_say(text, form):
    assert str(quantized(stack(), text).stored["fc2"].format) == form


def test_convolutions_with_a_window_fall_back_to_int8_and_a_note_says_so():
    model = convolutions()
    made = plan(model, parse("int4", graph=True))
    assert str(made.methods["last"].format) == "int8"
    assert "1 matrices of convolutions with a window" in made.notes[0]
    assert str(plan(model, parse("float16", graph=True)).methods["last"].format) == "float16"


def test_a_convolution_with_a_window_keeps_no_grid_that_it_cannot_run_as():
    model = convolutions()
    last = model.matrices["last"]
    grids = {form: quantize(last.weight, Method(WeightFormat(form, group), "absmax"))
             for form, group in (("int8", 0), ("int4", 32))}  # fmt: skip
    for form, kept in (("int8", grids["int8"]), ("int4", grids["int4"])):
        held = replace(model, matrices={**model.matrices, "last": replace(last, kept=kept)})
        found = quantized(held, "keep").stored["last"]
        assert str(found.format) == ("int8" if form == "int8" else "float32")


def test_the_first_convolution_and_small_matrices_stay_floats_unless_a_rule_says_otherwise():
    model = convolutions()
    assert str(plan(model, parse("int8", graph=True)).methods["stem"].format) == "float32"
    ruled = plan(model, parse("int8,stem=int8", graph=True))
    assert str(ruled.methods["stem"].format) == "int8"
    small = replace(model, matrices={**model.matrices, "last": matrix(np.random, 3, 9 * 16)})
    assert str(plan(small, parse("int8", graph=True)).methods["last"].format) == "float32"


@pytest.mark.parametrize(
    "text, message",
    [
        ("mixed:4.5", "mixed is for language models"),
        ("w8a8kv8", "no KV cache"),
        ("int4:awq", "graphs have equalize and bias_correct"),
        ("int4:outliers", "for language models"),
        ("int8,nothing=float16", "fits no matrix; one is called 'fc0'"),
        ("ternary", "would ruin it"),
        ("int8,fc1=int2", "million weights to int2-g256-offset would ruin it"),
    ],
)
def test_what_a_graph_cannot_have_is_refused_in_a_line(text, message):
    with pytest.raises(RecipeError, match=message):
        plan(stack(), parse(text, graph=True))


@pytest.mark.parametrize("text", ["int8:range_mse", "w8a8:asymmetric", "w8a8t:range_kl"])
def test_ranges_are_refused_where_activations_are_not_fixed(text):
    with pytest.raises(RecipeError, match="fixed activations"):
        parse(text, graph=True)


def test_ranges_are_refused_for_language_models():
    with pytest.raises(RecipeError, match="for a graph's"):
        parse("w8a8s:range_mse")


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_nan_in_weights_is_an_error_that_names_the_tensor(part):
    model = stack()
    getattr(model.matrices["fc1"], part).flat[3] = np.nan
    with pytest.raises(SourceError, match="tensor 'w' holds NaN"):
        check_finite(model)


# --- activations ----------------------------------------------------------------------------------


def test_dynamic_activations_have_a_scale_a_token_or_for_32_of_grouped_weights():
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    x[1] *= 100
    row = quantized(stack(), "int8").stored["fc0"].read(x)
    step = np.abs(x).max(axis=1, keepdims=True) / 127
    assert (np.abs(row - x) <= step / 2 * (1 + 1e-5)).all()
    grouped = quantized(stack(), "int8-g32").stored["fc0"].read(x)
    steps = np.repeat(np.abs(x).reshape(3, 2, 32).max(axis=2) / 127, 32, axis=1)
    assert (np.abs(grouped - x) <= steps / 2 * (1 + 1e-5)).all()


def test_activations_of_linear_layers_may_stay_floats():
    model = stack()
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    stored = quantized(model, "w4a16").stored["fc0"]
    assert stored.activation == "float" and (stored.read(x) == x).all()


def test_a_convolution_of_codes_multiplies_codes_and_says_so():
    with pytest.raises(RecipeError, match="'last' is of edge.Conv, .* add last=int8"):
        quantized(convolutions(), "w8a16")
    stored = quantized(convolutions(), "w8a16,last=int8").stored
    assert stored["last"].activation is None and str(stored["last"].format) == "int8"


def test_a_fixed_scale_covers_all_that_calibration_saw():
    model = stack()
    data = samples(model)
    largest = max(np.abs(sample["x"]).max() for sample in data)
    stored = quantized(model, "w8a8s", data).stored["fc0"]
    assert stored.activation == pytest.approx(largest / 127, rel=1e-6)


def test_ranges_cut_outliers_off():
    model = stack()
    data = samples(model)
    data.items[0]["x"][0, 0] = 300  # one number far from all others
    scales = {
        name: quantized(model, f"w8a8s:{name}", data).stored["fc0"].activation
        for name in ("range_minmax", "range_percentile", "range_mse", "range_kl")
    }
    values = np.concatenate([sample["x"].ravel() for sample in data])
    moved = {n: np.square(rounded(values, np.float32(s)) - values).sum() for n, s in scales.items()}
    assert scales["range_minmax"] == pytest.approx(300 / 127)
    assert scales["range_percentile"] < 300 / 127 / 10
    assert scales["range_kl"] < scales["range_minmax"]
    assert moved["range_mse"] <= moved["range_minmax"]


def test_an_asymmetric_shift_changes_nothing_in_exact_arithmetic():
    model = stack()
    data = samples(model, low=2.0)
    found = quantized(model, "w8a8s:asymmetric,fc1=float32", data)
    assert [n.op for n in found.model.graph.nodes][:2] == ["Add", "edge.Linear"]
    # Without rounding activations: what is left is the rounding of the weights alone.
    shifted = [run(found.model.graph, found, sample)["y"] for sample in data]
    plain = quantized(model, "w8a8s,fc1=float32", data)
    expected = [run(plain.model.graph, plain, sample)["y"] for sample in data]
    np.testing.assert_allclose(shifted, expected, rtol=1e-4, atol=1e-3)


def test_an_asymmetric_shift_halves_the_steps_of_inputs_far_from_zero():
    model = stack(layers=1)
    data = samples(model, low=4.0)
    found = {t: quantized(model, t, data) for t in ("w8a8s", "w8a8s:asymmetric")}
    steps = [found[t].stored["fc0"].activation for t in found]
    assert steps[1] < steps[0] / 2
    assert error(model, found["w8a8s:asymmetric"], data) < error(model, found["w8a8s"], data)


def test_a_padded_convolution_is_not_shifted_since_its_border_would_be():
    model = convolutions()
    found = quantized(model, "w8a8s:asymmetric", samples(model, low=1.0))
    assert found.stored["last"].shift == 0
    assert "Add" not in [n.op for n in found.model.graph.nodes]


def test_what_was_never_seen_stays_dynamic_and_needs_no_data():
    model = stack()
    made = plan(model, parse("w8a8s:gptq", graph=True))
    found = quantize_graph(model, made, {})
    assert found.stored["fc0"].activation is None
    assert "nothing was seen to read it" in found.fallen[0][1]


# --- what data decides ----------------------------------------------------------------------------


@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
@pytest.mark.parametrize("dilations", [(1, 1), (1, 2)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 2, 1)])
def test_rows_of_a_convolution_are_what_its_product_reads(strides, dilations, pads):
    random = np.random.default_rng(0)
    node = conv("x", "y", "w", 5, strides=strides, dilations=dilations, pads=pads)
    model = replace(stack(), matrices={"w": matrix(random, 7, 9 * 16)})
    x = random.normal(size=(2, 7, 8, 5)).astype(np.float32)
    rows = Layer(node).rows(x, random, 10_000)
    weight, bias = model.dense("w")
    expected = defined_conv(x, **node.attributes, matrices=model)
    np.testing.assert_allclose(
        rows @ weight.T + bias, expected.reshape(-1, 7), rtol=1e-4, atol=1e-4
    )


def correlated(model, seed=5):
    """Inputs that lie near a plane of eight directions: what GPTQ can make use of."""
    random = np.random.default_rng(seed)
    basis = random.normal(size=(8, 64))
    data = samples(model, count=16)
    for sample in data:
        near = random.normal(size=(len(sample["x"]), 8)) @ basis + 0.1 * sample["x"]
        sample["x"][:] = near.astype(np.float32)
    return data


def test_gptq_lowers_the_error_of_outputs_that_were_held_out():
    model = stack(layers=1)
    data = correlated(model)
    h = observe(model, data)["fc0"].held_out_moments
    errors = {
        text: output_error(
            quantized(model, text, data).stored["fc0"].weight - model.matrices["fc0"].weight, h
        )
        for text in ("int4", "int4:gptq")
    }
    assert errors["int4:gptq"] < errors["int4"] / 2


def test_gptq_of_a_convolution_reads_its_patches_and_keeps_padded_channels_at_zero():
    model = convolutions()
    data = samples(model)
    for sample in data:  # smooth, as images are: neighbours tell of each other
        sample["x"][:] = sample["x"].mean(axis=(1, 2), keepdims=True) + 0.1 * sample["x"]
    found = quantized(model, "int8:gptq,stem=int8:gptq", data)
    stem = found.stored["stem"]
    assert not found.fallen
    assert not stem.weight.reshape(32, 9, 16)[..., 3:].any()


@pytest.mark.parametrize("make", [stack, convolutions], ids=["linear", "convolutions"])
def test_bias_correction_gives_outputs_their_mean_back(make):
    model = make()
    data, others = samples(model, low=1.0), samples(model, seed=9, low=1.0)
    plain = quantized(model, "int4", data)
    corrected = correct_biases(model, plain, data)
    expected = np.mean(floats(model, others), axis=tuple(range(4 if make is convolutions else 2)))
    moved = []
    for found in (plain, corrected):
        mean = np.mean(outputs(found, others), axis=tuple(range(4 if make is convolutions else 2)))
        moved.append(np.linalg.norm(mean - expected))
    assert moved[1] < moved[0] / 2
    assert error(model, corrected, others) < error(model, plain, others)


# --- depthwise convolutions -----------------------------------------------------------------------


def test_depthwise_weights_are_stored_in_8_bits_and_keep_the_sums_of_their_taps():
    model = convolutions()
    weight = model.graph.constants["dw"]
    codes, scales = on_grid(weight)
    moved = codes * scales - weight
    plain = np.abs(weight).max(axis=(0, 1)) / 127
    nearest = np.rint(weight / plain) * plain - weight
    assert np.abs(moved.sum(axis=(0, 1))).mean() < np.abs(nearest.sum(axis=(0, 1))).mean() / 4
    assert np.square(moved).mean() < 1.5 * np.square(nearest).mean()


@pytest.mark.parametrize(
    "text, op, dtype",
    [
        ("int8", "DequantizeLinear", np.int8),
        ("int4", "DequantizeLinear", np.int8),
        ("float16", "Cast", np.float16),
    ],
)
def test_a_file_has_depthwise_weights_in_few_bits_and_they_are_widened_once(text, op, dtype):
    graph = quantized(convolutions(), text).model.graph
    assert graph.nodes[0].op == op
    assert graph.constants[graph.nodes[0].inputs[0]].dtype == dtype
    opened = widened(graph)
    assert [n.op for n in opened.nodes] == [n.op for n in graph.nodes[1:]]
    assert opened.constants["dw"].dtype == np.float32


def test_float32_recipes_narrow_only_what_loses_nothing():
    model = convolutions()
    assert quantized(model, "float32").model.graph.nodes == model.graph.nodes
    codes = np.random.default_rng(0).integers(-127, 128, (3, 3, 32)).astype(np.float32)
    codes[0, 0] = 127
    exact = codes * np.linspace(0.01, 0.1, 32, dtype=np.float32)
    model.graph.constants["dw"][:] = exact
    graph = quantized(model, "float32").model.graph
    np.testing.assert_array_equal(graph.constants["dw.codes"], codes)
    np.testing.assert_allclose(widened(graph).constants["dw"], exact, rtol=1e-6)


def test_other_large_constants_are_halves_in_the_file_where_that_is_close():
    table = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32)
    model = stack(width=64)
    for values, dtype in ((table, np.float16), (1e9 * table, np.float32)):
        constants = {"table": values}
        nodes = (*model.graph.nodes, Node("Slice", ("table", "from", "to"), ("part",)))
        held = replace(model, graph=replace(model.graph, nodes=nodes, constants=constants))
        graph = quantized(held, "int8").model.graph
        assert {a.dtype.type for a in graph.constants.values()} == {dtype}
        np.testing.assert_allclose(
            widened(graph).constants["table"], values, rtol=2**-11, atol=1e-7
        )
