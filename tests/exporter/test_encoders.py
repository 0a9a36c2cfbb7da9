"""Encoders' checkpoints as ours: names, settings of sentence-transformers, and refusals."""

import json
from dataclasses import replace

import bert_oracle
import numpy as np
import pytest
import tiny_encoder
from safetensors.numpy import load_file, save_file

from edge.errors import RecipeError, SourceError, UnsupportedModel
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.calibration.collect import collect
from edge.exporter.calibration.corpus import windows_for
from edge.exporter.explain import explain
from edge.exporter.language import parse
from edge.exporter.quantize import Method, quantize
from edge.exporter.sources import open_source
from edge.exporter.transforms import transform_layer
from edge.exporter.weights import Weights
from edge.format.formats import WeightFormat
from edge.format.reader import EdgeFile
from edge.runtime.encoder import Encoder
from tests.exporter.memory_source import MemorySource
from tests.golden_folders import ENCODERS, copied


def source(case: str, **keys) -> MemorySource:
    """A golden encoder with other config keys; None takes one away."""
    opened = open_source(ENCODERS / case)
    config = {k: v for k, v in (opened.config | keys).items() if v is not None}
    return MemorySource(config, load_file(ENCODERS / case / "model.safetensors"), name=case)


def test_the_positions_carry_the_first_token_type_and_skip_what_is_reserved():
    for case, reserved in (("bert", 0), ("roberta", 2)):
        model, tensors = lower(s := source(case)), s.tensors
        table = next(t for t in model.tensors if t.name == "positions").read(s)
        words = tensors["embeddings.position_embeddings.weight"].astype(np.float32)
        types = tensors["embeddings.token_type_embeddings.weight"].astype(np.float32)
        expected = words[reserved : reserved + model.config.context] + types[0]
        assert (table.reshape(-1, 64) == expected).all()


def test_rows_and_heads_of_odd_sizes_are_padded():
    model = lower(source("narrow"))
    assert (model.config.hidden, model.config.head_dim) == (72, 32)
    shapes = {t.name: t.stored_shape for t in model.tensors}
    assert shapes["layers.0.attention.query.weight"] == (96, 72)
    assert shapes["layers.0.attention.output.weight"] == (72, 96)
    assert shapes["positions"] == (32 * 80,)


def test_sentence_transformers_settings_are_kept():
    found = {case: lower(source(case)).config for case in ("bert", "roberta", "narrow")}
    assert {c: (f.pooling, f.normalize, f.context) for c, f in found.items()} == {
        "bert": ("mean", True, 24),
        "roberta": ("cls", True, 32),
        "narrow": ("max", False, 32),
    }


def test_a_bare_folder_takes_the_mean_and_says_so():
    model = lower(source("distilbert"))
    assert (model.config.pooling, model.config.normalize) == ("mean", True)
    assert any("their mean, of unit length" in note for note in model.notes)


def in_random_order(s: MemorySource) -> MemorySource:
    """All matrices of layers in int8, each with an order of its own."""
    rng = np.random.default_rng(0)
    for name in [n for n, t in s.tensors.items() if ".layer." in n and t.ndim == 2]:
        matrix = s.tensors.pop(name).astype(np.float32)
        order = rng.permutation(matrix.shape[1]).astype(np.int32)
        stored = quantize(matrix[:, order], Method(WeightFormat("int8", 32), "absmax"))
        s.on_grid[name] = replace(stored, order=order)
    return s


def test_the_matrices_of_an_encoder_read_in_their_own_orders(tmp_path):
    """Against the same weights as floats: what int8 activations and words cost (docs: 0.9996)."""
    s, ids, vectors = in_random_order(source("bert")), [[5, 6, 7], [9, 3, 9, 11, 4]], []
    for quant in ("keep", "float32"):
        export(s, tmp_path / f"{quant}.edge", quant=quant)
        encoder = Encoder(EdgeFile(tmp_path / f"{quant}.edge"), threads=1)
        vectors.append(encoder.embed(ids))
        encoder.close()
    file = EdgeFile(tmp_path / "keep.edge")
    assert sum(name.endswith(".in_order") for name in file.tensors) == len(s.on_grid)
    assert (np.sum(vectors[0] * vectors[1], axis=1) > 0.999).all()


def test_heads_are_left_out_and_prefixes_too():
    s = source("bert")
    s.tensors = {f"bert.{name}": values for name, values in s.tensors.items()}
    s.tensors["cls.predictions.bias"] = np.zeros(80, np.float32)
    model = lower(s)
    assert model.notes == (
        "3 tensors that embeddings do not need are left out (bert.pooler.dense.bias, ...)",
    )
    assert all(t.source.startswith("bert.") for t in model.tensors)


@pytest.mark.parametrize(
    "keys, error, message",
    [
        ({"hidden_act": "swish"}, UnsupportedModel, "activation 'swish'; edge has gelu"),
        ({"position_embedding_type": "relative_key"}, UnsupportedModel, "position_embedding_type"),
        ({"is_decoder": True}, UnsupportedModel, "a decoder; edge runs encoders"),
        ({"hidden_size": None}, SourceError, "no key 'hidden_size'"),
        ({"hidden_size": 128}, SourceError, "has shape"),
        ({"num_hidden_layers": 3}, SourceError, "encoder.layer.2"),
        ({"num_hidden_layers": 1}, UnsupportedModel, "has no place in a bert model with 1 layers"),
        ({"vocab_size": 81}, SourceError, "word_embeddings"),
        ({"type_vocab_size": 3}, SourceError, "token_type_embeddings"),
        ({"sentence": {"pooling": "median"}}, SourceError, "pooling of mean, cls, max"),
        ({"sentence": {"max_length": 0}}, SourceError, "max_length"),
    ],
)
def test_what_edge_does_not_have_is_refused_by_name(keys, error, message):
    with pytest.raises(error, match=message):
        lower(source("bert", **keys))


def test_a_longer_length_than_there_are_positions_is_cut():
    assert lower(source("bert", sentence={"max_length": 512})).config.context == 32


def test_a_prompt_that_texts_should_begin_with_is_noted():
    model = lower(source("bert", sentence={"pooling": "mean", "prompt": "query: "}))
    assert any("'query: '" in note for note in model.notes)


# --- the folder ---------------------------------------------------------------------------------


def changed(folder, name: str, document) -> None:
    (folder / name).write_text(json.dumps(document))


@pytest.mark.parametrize(
    "name, document, error, message",
    [
        ("modules.json", {"path": ""}, SourceError, "not a list of steps"),
        ("modules.json", [{"path": ""}], SourceError, "not a list of steps"),
        ("modules.json", [3], SourceError, "not a list of steps"),
        (
            "modules.json",
            [{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}],
            UnsupportedModel,
            "a step 'Dense'",
        ),
        (
            "modules.json",
            [{"path": "../x", "type": "a.Pooling"}],
            SourceError,
            "not a folder beside",
        ),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_sqrt_len_tokens": True},
            UnsupportedModel,
            "sqrt",
        ),
        (
            "1_Pooling/config.json",
            {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
            UnsupportedModel,
            "pooling 'cls, max'",
        ),
        ("sentence_bert_config.json", {"do_lower_case": True}, UnsupportedModel, "do_lower_case"),
    ],
)
def test_a_folder_with_other_steps_is_refused_by_name(tmp_path, name, document, error, message):
    folder = copied("bert", tmp_path / "model")
    changed(folder, name, document)
    with pytest.raises(error, match=message):
        lower(open_source(folder))


def test_a_pooling_by_its_newer_name_is_read(tmp_path):
    folder = copied("bert", tmp_path / "model")
    changed(folder, "1_Pooling/config.json", {"pooling_mode": "cls"})
    assert lower(open_source(folder)).config.pooling == "cls"


def test_the_settings_are_part_of_the_sources_digest(tmp_path):
    folder = copied("bert", tmp_path / "model")
    before = open_source(folder).digest()
    changed(folder, "sentence_bert_config.json", {"max_seq_length": 23})
    assert open_source(folder).digest() != before


def test_broken_weights_are_named(tmp_path):
    folder = copied("bert", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.position_embeddings.weight"][3, 3] = np.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(SourceError, match="position_embeddings.*NaN"):
        export(folder, tmp_path / "m.edge", quant="int8")


def test_the_header_counts_what_the_model_has(tmp_path):
    report = export(ENCODERS / "bert", tmp_path / "m.edge", quant="int8")
    file = EdgeFile(tmp_path / "m.edge")
    layer = 4 * (64 * 64 + 64) + 2 * 64 * 96 + 96 + 64 + 4 * 64
    assert file.document["parameters"] == 80 * 64 + 24 * 64 + 2 * 64 + 2 * layer
    assert file.document["kind"] == "encoder" and report.chat == "plain"


def test_an_encoder_cannot_write_its_own_calibration_text(tmp_path):
    with pytest.raises(RecipeError, match="an encoder writes no text"):
        export(ENCODERS / "bert", tmp_path / "m.edge", quant="int4:gptq", calib="self")


def test_a_rotation_is_refused_for_layer_norms(tmp_path):
    with pytest.raises(RecipeError, match="layer norms"):
        export(ENCODERS / "bert", tmp_path / "m.edge", quant="int4:hadamard")


# --- calibration --------------------------------------------------------------------------------


def some_ids(source, count=9, tokens=12):
    return np.random.default_rng(5).integers(4, source.config["vocab_size"], (count, tokens))


@pytest.mark.parametrize("case", ["bert", "roberta", "distilbert", "narrow"])
def test_what_matrices_read_layer_by_layer_is_what_the_oracle_says(case, tmp_path):
    opened = open_source(ENCODERS / case)
    model, ids = lower(opened), some_ids(opened)
    statistics = collect(opened, model, ids, tmp_path / "stats")
    read: dict[tuple[int, str], list[np.ndarray]] = {}
    bert = bert_oracle.Bert(opened, lambda i, name, x: read.setdefault((i, name), []).append(x))
    hidden = np.stack([bert.hidden(window) for window in ids])
    last = statistics.hidden(model.config.layers - 1)
    assert np.abs(last - hidden).max() < 2e-5
    heads, dim = model.config.heads, model.config.hidden // model.config.heads
    for (layer, name), inputs in read.items():
        part = "feed_forward" if name in ("up", "down") else "attention"
        found = statistics.fit(f"layers.{layer}.{part}.{name}.weight")
        x = np.concatenate(inputs[:7] + inputs[8:])  # every eighth window is held out
        if name == "output" and dim % 16:  # heads are stored padded
            x = np.pad(x.reshape(-1, heads, dim), ((0, 0), (0, 0), (0, -dim % 16)))
            x = x.reshape(len(x), -1)
        np.testing.assert_allclose(found.body, x.T @ x, rtol=1e-3, atol=1e-3)
        assert found.tokens == len(inputs[0]) * 8 and found.sinks == 0  # all tokens count alike


@pytest.mark.parametrize("recipe", ["int4:gptq", "int4-g64:clip+gptq", "int4:awq+gptq"])
def test_data_aware_recipes_beat_rounding(recipe, tmp_path):
    """The mean cosine of embeddings to float32's."""
    opened = open_source(ENCODERS / "distilbert")  # has a ReLU: awq moves along both folds
    ids = some_ids(opened, 64, 24)
    group = "int4-g64" if "g64" in recipe else "int4"
    cosines = {}
    for quant in ("float32", group, recipe):
        export(opened, path := tmp_path / "m.edge", quant=quant, calib=ids)
        encoder = Encoder(EdgeFile(path), threads=1)
        cosines[quant] = encoder.embed(ids.tolist())
        encoder.close()
    means = {q: (v * cosines["float32"]).sum(axis=1).mean() for q, v in cosines.items()}
    assert means[recipe] > means[group] > 0.9


@pytest.mark.parametrize(
    "recipe",
    [
        "int6",
        "int5",
        "int3",
        "int2",
        "code4:nf4",
        "int4:sparse",
        "int4:lorc",
        "int8-g0:bias_correct",
    ],
)
def test_other_formats_and_what_rides_beside_them_serve_encoders(recipe, tmp_path):
    opened = open_source(ENCODERS / "bert")
    ids = some_ids(opened, 16, 24)
    vectors = []
    for quant in ("float32", recipe):
        export(opened, path := tmp_path / "m.edge", quant=quant, calib=ids, force=True)
        encoder = Encoder(EdgeFile(path), threads=1)
        vectors.append(encoder.embed(ids.tolist()))
        encoder.close()
    least = 0.8 if recipe in ("int3", "int2") else 0.95
    assert (vectors[0] * vectors[1]).sum(axis=1).mean() > least


@pytest.mark.parametrize("method", ["equalize", "smooth"])
@pytest.mark.parametrize("case", ["bert", "distilbert"])
def test_folds_of_an_encoder_change_nothing(tmp_path, case, method):
    opened = open_source(ENCODERS / case)
    weights = Weights(opened, model := lower(opened))
    statistics = collect(opened, model, some_ids(opened), tmp_path / "stats")
    for layer in range(2):
        transform_layer(weights, parse(f"int8:{method}"), layer, statistics)
    assert weights.factors
    tensors = {name: opened.read(name) for name in opened.names()}
    tensors |= {t.source: weights.read(t.name) for t in model.tensors if t.name in weights.factors}
    ids = some_ids(opened, 1)[0]
    moved = MemorySource(opened.config, tensors)
    before, after = (bert_oracle.Bert(source).hidden(ids) for source in (opened, moved))
    assert np.abs(after - before).max() < 1e-5


def test_windows_of_a_text_have_special_tokens_and_fit(tmp_path):
    source = open_source(tiny_encoder.folder(tmp_path / "m"))
    (tmp_path / "a.txt").write_text("some words of a text " * 100)
    cut = windows_for(lower(source), tmp_path / "a.txt", source.tokenizer())
    assert cut.shape == (66, 24)  # 1600 letters
    assert (cut[:, 0] == tiny_encoder.BEGIN).all() and (cut[:, -1] == tiny_encoder.END).all()


def test_windows_are_as_short_as_sentences_however_much_an_encoder_reads(tmp_path):
    """Long ones would hide what the first and the last token do among all those between them."""
    source = open_source(tiny_encoder.folder(tmp_path / "m"))
    (tmp_path / "a.txt").write_text("some words of a text " * 100)
    model = lower(source)
    reads_more = replace(model, config=replace(model.config, context=512))
    assert windows_for(reads_more, tmp_path / "a.txt", source.tokenizer()).shape == (50, 32)


def test_ids_longer_than_an_encoder_reads_are_refused():
    opened = open_source(ENCODERS / "bert")
    with pytest.raises(SourceError, match="windows of 25 tokens; this encoder reads 24"):
        windows_for(lower(opened), some_ids(opened, 2, 25), None)


def test_a_report_and_a_plan_can_be_had_of_an_encoder(tmp_path):
    folder = tiny_encoder.folder(tmp_path / "m")
    (tmp_path / "a.txt").write_text("some words of a text " * 100)
    page = tmp_path / "page.html"
    export(folder, tmp_path / "m.edge", quant="int4:gptq", calib=tmp_path / "a.txt", report=page)
    assert "<html" in page.read_text()
    assert explain(str(folder), "mixed:5.5").classes
    export(folder, tmp_path / "m.edge", quant="mixed:6:gptq", calib=tmp_path / "a.txt")
