"""Methods that choose by what a matrix reads: against the paper's own form, and against none."""

from dataclasses import replace

import numpy as np
import pytest

from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.language import parse
from edge.exporter.layer_error import output_error
from edge.exporter.quantize import Method, quantize
from edge.exporter.rounding.gptq import DAMP
from edge.exporter.store import Store
from edge.exporter.transforms import TRANSFORMS, transform_layer
from edge.exporter.transforms.folds import folds
from edge.exporter.weights import Weights
from edge.format.formats import CODES, QuantizedTensor, WeightFormat
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from tests.exporter.memory_source import GOLDENS, MemorySource, golden, tiny_llama

FORMS = [WeightFormat("int4", 64, True), WeightFormat("int4", 32), WeightFormat("int8")]
TWO_LEVEL = [
    WeightFormat("int4", 256, True),
    WeightFormat("int3", 256),
    WeightFormat("int2", 256, True),
]


def correlated(rows=48, columns=192, tokens=1024, seed=0):
    """Weights, and second moments of inputs whose channels differ in size and go together."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((columns, columns)) / np.sqrt(columns) + np.eye(columns)
    x = random.standard_normal((tokens, columns)) @ mixing * random.lognormal(0, 1, columns)
    return random.normal(0, 0.05, (rows, columns)).astype(np.float32), x.T @ x / tokens


def by_elimination(matrix, tensor: QuantizedTensor, h) -> np.ndarray:
    """GPTQ as its paper derives it: in float64, H's inverse itself, a column eliminated a step."""
    form, width = tensor.format, tensor.format.step_columns or matrix.shape[1]
    scales, offsets = tensor.steps()
    w, columns = matrix.astype(np.float64), np.argsort(-np.diagonal(h), kind="stable")
    inverse = np.linalg.inv(h + DAMP * np.diagonal(h).mean() * np.eye(len(h)))
    codes = np.empty(matrix.shape, np.uint8)
    for step, c in enumerate(columns):
        scale = scales[:, c // width].astype(np.float64)
        offset = 0 if offsets is None else offsets[:, c // width]
        q = np.clip(np.rint((w[:, c] - offset) / scale) + form.zero, 0, CODES[form.kind].levels - 1)
        codes[:, c] = q
        error = (w[:, c] - ((q - form.zero) * scale + offset)) / inverse[c, c]
        rest = columns[step:]
        w[:, rest] -= np.outer(error, inverse[c, rest])
        inverse -= np.outer(inverse[:, c], inverse[c]) / inverse[c, c]
    return codes


def scales_of(form):
    return "minmax" if form.offset else "absmax"


@pytest.mark.parametrize("form", [*FORMS, *TWO_LEVEL], ids=str)
def test_gptq_is_the_elimination_of_the_paper(form):
    matrix, h = correlated()
    ours = quantize(matrix, Method(form, scales_of(form), "gptq"), h)
    codes = by_elimination(matrix, ours, h)
    reference = replace(ours, codes=codes)
    errors = [output_error(t.dequantize() - matrix, h) for t in (ours, reference)]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)
    assert (ours.codes == codes).mean() > 0.98  # float32 decides some ties otherwise


@pytest.mark.parametrize("form", [*FORMS, *TWO_LEVEL], ids=str)
def test_gptq_halves_the_error_of_the_output(form):
    matrix, h = correlated()
    errors = [
        output_error(
            quantize(matrix, Method(form, scales_of(form), rounding), h).dequantize() - matrix, h
        )
        for rounding in ("gptq", "rtn")
    ]
    assert errors[0] < 0.5 * errors[1]


def test_inputs_that_are_always_zero_do_not_matter_to_gptq():
    matrix, h = correlated()
    h[:, 5] = h[5] = 0
    tensor = quantize(matrix, Method(FORMS[0], "minmax", "gptq"), h)
    assert np.isfinite(tensor.dequantize()).all()


def test_gptq_takes_columns_that_no_group_divides():
    matrix, h = correlated(columns=100)
    tensor = quantize(matrix, Method(FORMS[0], "clip", "gptq"), h)
    assert tensor.shape == matrix.shape and tensor.scales.shape == (48, 2)


@pytest.mark.parametrize("form", FORMS[:2], ids=str)
def test_clipping_never_costs_a_group_more_of_its_own_output(form):
    matrix, h = correlated(columns=256)
    width = form.group
    clipped, whole = (
        quantize(matrix, Method(form, scales), h).dequantize() - matrix
        for scales in ("clip", "minmax" if form.offset else "signed_absmax")
    )
    for start in range(0, 256, width):
        at = slice(start, start + width)
        part = h[at, at] + 0.01 * np.trace(h[at, at]) / width * np.eye(width)
        ours, theirs = (((d[:, at] @ part) * d[:, at]).sum(axis=1) for d in (clipped, whole))
        assert (ours <= theirs * (1 + 1e-4)).all() and ours.sum() < theirs.sum()


# --- transforms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDENS)
def test_folds_change_nothing_but_the_weights(name, tmp_path):
    source, random = golden(name), np.random.default_rng(0)
    model = lower(source)
    weights = Weights(source, model)
    for layer in range(model.config.layers):
        for fold in folds(weights, layer):
            channels = len(weights.read(fold.writers[0]))
            fold.apply(weights, random.lognormal(0, 0.5, channels).astype(np.float32))
    before, after = (logits(tmp_path, source, w) for w in (Weights(source, model), weights))
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())
    assert weights.factors


def logits(folder, source, weights: Weights) -> np.ndarray:
    """Of the model in float32, with the weights as transforms have left them."""
    from edge.format.writer import EdgeWriter

    path = folder / "float.edge"
    export(source, path, quant="float32")
    document = EdgeFile(path).document
    with EdgeWriter(path, tensors=len(weights.model.tensors)) as writer:
        store = Store(writer, weights, parse("float32"), False)
        for tensor in weights.model.tensors:
            store.add(tensor)
        document |= {"config": weights.model.config}
        writer.document = {k: v for k, v in document.items() if k != "tensors"}
    model = Model(EdgeFile(path), threads=1, outputs=8)
    return model.forward(list(range(1, 9)), outputs=8).copy()


FOLDED = [n for n, e in TRANSFORMS.items() if e.stage == "layer" and n != "awq_each"]


@pytest.mark.parametrize("name", FOLDED)
def test_a_transform_keeps_the_function(name, tmp_path):
    source = badly_scaled()
    model = lower(source)
    statistics = statistics_of(source, tmp_path)
    weights = Weights(source, model)
    for layer in range(model.config.layers):
        transform_layer(weights, parse(f"int4-g32:{name}"), layer, statistics)
    before, after = (logits(tmp_path, source, w) for w in (Weights(source, model), weights))
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())


def badly_scaled() -> MemorySource:
    """A tiny model with outlier channels in both of its norms, in value and in up."""
    source, random = tiny_llama(hidden_size=32), np.random.default_rng(3)
    for name, values in source.tensors.items():
        if "norm" in name or "v_proj" in name or "up_proj" in name:
            factors = random.lognormal(0, 1.5, len(values)).astype(np.float32)
            source.tensors[name] = values * (factors if values.ndim == 1 else factors[:, None])
    return source


def statistics_of(source, folder):
    model = lower(source)
    ids = np.random.default_rng(0).integers(0, model.config.vocabulary, (16, 32))
    return collect(source, model, ids, folder / "stats")


def test_awq_lowers_the_error_of_every_output(tmp_path):
    source = badly_scaled()
    model, recipe = lower(source), parse("int4:awq")
    statistics = statistics_of(source, tmp_path)
    plain, moved = Weights(source, model), Weights(source, model)
    transform_layer(moved, recipe, 0, statistics)
    for fold in folds(plain, 0):
        errors = [
            sum(reader_error(w, name, recipe, statistics) for name in fold.readers)
            for w in (plain, moved)
        ]
        assert errors[1] <= errors[0] * (1 + 1e-3)


def reader_error(weights, name, recipe, statistics) -> float:
    w = weights.read(name)
    h = weights.second_moments(name, statistics.fit(name).balanced)
    return output_error(quantize(w, recipe.method(name)).dequantize() - w, h)


def test_equalized_channels_have_one_range():
    source = badly_scaled()
    weights = Weights(source, lower(source))
    transform_layer(weights, parse("int4:equalize"), 0, None)
    up = np.abs(weights.read("layers.0.feed_forward.up.weight")).max(axis=1)
    down = np.abs(weights.read("layers.0.feed_forward.down.weight")).max(axis=0)
    np.testing.assert_allclose(up, down, rtol=1e-4)


def test_equalization_recovers_what_bad_scaling_costs_rows_of_int8():
    """Down's columns 1 to 1000 times too large, up's rows too small: nine tenths come back."""
    source, method = tiny_llama(intermediate_size=256), parse("int8-g0").body
    good, random = Weights(source, lower(source)), np.random.default_rng(0)
    up, down = (f"layers.0.feed_forward.{name}.weight" for name in ("up", "down"))
    bad, even = (Weights(source, lower(source)) for _ in range(2))
    factors = (10 ** random.uniform(0, 3, 256)).astype(np.float32)
    for weights in (bad, even):
        weights.multiply(up, 1 / factors, None)
        weights.multiply(down, None, factors)
    transform_layer(even, parse("int8-g0:equalize"), 0, None)

    def error(weights):
        matrix = weights.read(down)
        moved = quantize(matrix, method).dequantize() - matrix
        return np.linalg.norm(weights.inputs(down, moved))  # the input is divided by the factors

    assert error(bad) - error(even) > 0.9 * (error(bad) - error(good)) and error(bad) > 5 * error(
        good
    )


def test_a_method_that_loses_on_held_out_tokens_is_left_and_named(tmp_path):
    """Two tokens to choose by, and others to judge by: nothing that was learned is true."""
    source = tiny_llama()
    ids = np.zeros((16, 8), int)
    ids[7::8] = np.random.default_rng(0).integers(1, 40, (2, 8))
    report = export(source, tmp_path / "x.edge", quant="int4:gptq", calib=ids)
    fallen = [note for note in report.notes if "held-out" in note]
    assert fallen and fallen[0].startswith("layers.0.") and "minmax and rtn did better" in fallen[0]


def test_the_file_recommends_the_cache_of_its_recipe(tmp_path):
    path = tmp_path / "x.edge"
    export(tiny_llama(), path, quant="w8kv8")
    assert Model(EdgeFile(path), threads=1).cache.shape.kind == "int8"
    assert Model(EdgeFile(path), threads=1, kv="float16").cache.shape.kind == "float16"
