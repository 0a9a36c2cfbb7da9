"""Calibration: one forward pass, statistics that add up, work that is not done twice."""

import json

import numpy as np
import pytest

from edge.errors import RecipeError, SourceError
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration import collect as collecting
from edge.exporter.calibration.collect import collect, read, written_by_itself
from edge.exporter.calibration.corpus import SELF_WINDOWS, WINDOW, record, windows
from edge.exporter.calibration.moments import Moments
from edge.exporter.calibration.statistics import Statistics
from edge.exporter.sources import TokenizerFiles
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from tests.exporter.memory_source import GOLDENS, golden, tiny_llama


def ids_for(model, count=9, tokens=12, seed=0):
    return np.random.default_rng(seed).integers(0, model.config.vocabulary, (count, tokens))


def rms_norm(x, gain, epsilon):
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + epsilon) * gain


@pytest.mark.parametrize("name", GOLDENS)
def test_layer_by_layer_is_the_forward_pass(name, tmp_path):
    """The hidden states that leave the last layer give the model's own logits."""
    source = golden(name)
    model = lower(source)
    ids = ids_for(model, count=2)
    statistics = collect(source, model, ids, tmp_path / "stats")
    hidden = statistics.hidden(model.config.layers - 1)
    tensors = {t.name: t for t in model.tensors}
    c = model.config
    table = tensors["embedding.weight" if c.tied_embedding else "output.weight"].read(source)
    gain = tensors["output_norm.weight"].read(source)
    logits = rms_norm(hidden, gain, c.norm_epsilon) @ table.T
    if c.logits_softcap:
        logits = c.logits_softcap * np.tanh(logits / c.logits_softcap)
    export(source, tmp_path / "float.edge", quant="float32")
    reference = Model(EdgeFile(tmp_path / "float.edge"), threads=1, outputs=12)
    for window, ours in zip(ids, logits, strict=True):
        reference.rewind(0)
        theirs = reference.forward(window, outputs=12)
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


def test_statistics_know_what_every_matrix_of_a_layer_reads(tmp_path):
    source = tiny_llama()
    model = lower(source)
    ids = ids_for(model)
    statistics = collect(source, model, ids, tmp_path / "stats")
    matrices = [t for t in model.tensors if t.name.startswith("layers.") and len(t.shape) == 2]
    for tensor in matrices:
        fit, held = statistics.fit(tensor.name), statistics.held_out(tensor.name)
        assert fit.body.shape == (tensor.stored_shape[1],) * 2
        assert fit.tokens + fit.sinks == 8 * 12 and held.tokens + held.sinks == 12
    embedded = source.read("model.embed_tokens.weight")[ids[:7]].reshape(-1, 32)
    gain = source.read("model.layers.0.input_layernorm.weight")
    x = rms_norm(embedded, gain, model.config.norm_epsilon)
    x = np.vstack([x, rms_norm(source.read("model.embed_tokens.weight")[ids[8]], gain, 1e-5)])
    query = statistics.fit("layers.0.attention.query.weight")
    np.testing.assert_allclose(query.body + query.sink, x.T @ x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(query.mean_size, np.abs(x).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(query.largest, np.abs(x).max(axis=0), rtol=1e-5)


def test_two_halves_add_up_to_the_whole():
    x = np.random.default_rng(0).standard_normal((8, 32, 16)).astype(np.float32)
    whole, first, second = (Moments.empty(16) for _ in range(3))
    for i, window in enumerate(x):
        whole.update(window)
        (first if i < 4 else second).update(window)
    summed = first + second
    np.testing.assert_allclose(summed.body, whole.body, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(summed.balanced, whole.balanced, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(summed.largest, whole.largest)
    np.testing.assert_array_equal(summed.counts, whole.counts)
    assert summed.counts.sum() == x.size


def test_no_sink_outweighs_the_body():
    x = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    x[0] = 1000 * np.eye(8, dtype=np.float32)[3]
    moments = Moments.empty(8)
    moments.update(x)
    share = np.diagonal(moments.balanced) / np.trace(moments.balanced)
    assert 0.25 < share[3] < 0.5


def test_work_goes_on_at_the_layer_it_stopped_at(tmp_path, monkeypatch):
    source = golden("llama3")
    model = lower(source)
    ids = ids_for(model)
    whole = collect(source, model, ids, tmp_path / "whole")
    ran = []
    run = collecting._run

    def killed(source, model, layer, *rest):
        if layer == 1 and ran == [0]:
            raise KeyboardInterrupt
        ran.append(layer)
        return run(source, model, layer, *rest)

    monkeypatch.setattr(collecting, "_run", killed)
    with pytest.raises(KeyboardInterrupt):
        collect(source, model, ids, tmp_path / "parts")
    ran.append("again")
    parts = collect(source, model, ids, tmp_path / "parts")
    assert ran == [0, "again", *range(1, model.config.layers)]
    for layer in range(model.config.layers):
        name = f"layers.{layer}.feed_forward.down.weight"
        np.testing.assert_array_equal(parts.fit(name).body, whole.fit(name).body)


def test_statistics_of_other_tokens_are_not_used(tmp_path):
    source = tiny_llama()
    model = lower(source)
    name = "layers.0.attention.query.weight"
    first = collect(source, model, ids_for(model, seed=1), tmp_path).fit(name).body
    assert (collect(source, model, ids_for(model, seed=2), tmp_path).fit(name).body != first).any()
    assert json.loads((tmp_path / "calibration.json").read_text())["windows"] == [9, 12]


def tokenizer_files(add_bos=False):
    from tests.tiny_model import tokenizer

    return TokenizerFiles(tokenizer().to_str().encode(), None, 256, (257,), add_bos)


def test_a_text_becomes_windows_that_lie_evenly_over_it(tmp_path):
    text = "".join(chr(97 + i % 26) for i in range(10 * WINDOW))
    (tmp_path / "a.txt").write_text(text[:1000])
    (tmp_path / "b.md").write_text(text[1000:])
    cut = windows(tmp_path, tokenizer_files(), 272, most=3)
    assert cut.shape == (3, WINDOW)
    everything = windows(tmp_path, tokenizer_files(), 272, most=1000)
    assert len(everything) == 10
    np.testing.assert_array_equal(cut[0], everything[0])
    assert (windows(tmp_path / "b.md", tokenizer_files(True), 272)[:, 0] == 256).all()


@pytest.mark.parametrize(
    "content, message", [("too short", "9 tokens, a window has 512"), (None, "no such file")]
)
def test_too_little_text_is_refused(tmp_path, content, message):
    path = tmp_path / "text"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SourceError, match=message):
        windows(path, tokenizer_files(), 272)


@pytest.mark.parametrize(
    "ids, message",
    [
        (np.zeros((2, 3)), "float64 of shape"),
        (np.zeros(3, int), "expected token ids"),
        (np.full((1, 4), 272), "token id 272, expected 0..271"),
        (np.full((1, 4), -1), "token id -1"),
    ],
)
def test_ids_are_checked(ids, message):
    with pytest.raises(SourceError, match=message):
        windows(ids, None, 272)


def test_text_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no tokenizer; give token ids"):
        windows(tmp_path, None, 272)


def test_a_recipe_that_needs_data_says_what_needs_none(tmp_path):
    with pytest.raises(RecipeError, match="give a text .* let it write one .* or take int4-search"):
        export(tiny_llama(), tmp_path / "x.edge", quant="int4:gptq")
    assert not list(tmp_path.iterdir())


def test_an_export_leaves_no_statistics_behind(tmp_path):
    ids = ids_for(lower(tiny_llama()))
    export(tiny_llama(), tmp_path / "x.edge", quant="int4:awq+gptq", calib=ids)
    assert [path.name for path in tmp_path.iterdir()] == ["x.edge"]


def test_statistics_may_serve_several_exports(tmp_path):
    """GPTQ's, AWQ's, SqueezeLLM's, the allocation's: one object of second moments."""
    source = tiny_llama()
    model = lower(source)
    statistics = collect(source, model, ids_for(model), tmp_path / "stats")
    for quant in ("int4:gptq", "int4:awq+clip", "code4:squeezellm", "mixed:9:gptq"):
        export(source, tmp_path / "x.edge", quant=quant, calib=statistics)
    assert isinstance(statistics, Statistics) and (tmp_path / "stats" / "layer-0.npz").exists()


def test_a_model_may_write_its_own_text(tmp_path):
    report = export(golden("smollm2"), tmp_path / "x.edge", quant="int4:gptq", calib="self")
    assert report.recipe == "int4:gptq"
    first, again, other = (written_by_itself(tiny_llama(), 2, 10, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, 10) and (first != other).any() and first.max() < 40


def test_windows_of_its_own_lie_evenly_among_those_of_a_text(tmp_path):
    source = tiny_llama()
    model = lower(source)
    text = ids_for(model)
    np.save(tmp_path / "text.npy", text)
    both = read(source, model, None, f"self+{tmp_path / 'text.npy'}")
    own = written_by_itself(source, SELF_WINDOWS, text.shape[1])
    of_text = [any((window == row).all() for row in text) for window in both]
    np.testing.assert_array_equal(both[of_text], text)
    np.testing.assert_array_equal(both[~np.array(of_text)], own)
    gaps = np.diff(np.flatnonzero(~np.array(of_text)))
    assert gaps.max() - gaps.min() <= 1


def test_a_plus_without_a_text_is_refused():
    source = tiny_llama()
    model = lower(source)
    with pytest.raises(SourceError, match="no file after the \\+"):
        read(source, model, None, "self+")


def test_a_file_says_which_text_it_read_besides_its_own(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("some notes")
    alone, both, own = (record(calib, {}) for calib in (text, f"self+{text}", "self"))
    assert both == alone and alone["name"] == "notes.txt"
    assert own["name"] == "self"


def test_broken_weights_are_named_before_they_are_run(tmp_path):
    source = tiny_llama()
    source.tensors["model.layers.0.mlp.up_proj.weight"][3, 3] = np.nan
    with pytest.raises(SourceError, match="'model.layers.0.mlp.up_proj.weight' holds NaN"):
        collect(source, lower(source), np.zeros((1, 4), int), tmp_path / "stats")
