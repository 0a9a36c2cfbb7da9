"""A whole export: what the file says, what it refuses, what is left when it fails."""

import errno
import json
import os
import tracemalloc
from collections import namedtuple

import numpy as np
import pytest
import tiny_model

from edge.errors import DoesNotFit, RecipeError, SourceError
from edge.exporter import export
from edge.exporter.architectures import lower
from edge.exporter.sources import Generation, TokenizerFiles
from edge.exporter.store import Store
from edge.format.chat_pattern import ChatPattern
from edge.format.formats import QuantizedTensor, WeightFormat
from edge.format.reader import EdgeFile
from edge.format.spec import weight_format
from edge.format.writer import EdgeWriter
from edge.runtime.model import Model
from tests.exporter.decoder_oracle import logits, matrix, vector
from tests.exporter.memory_source import GOLDEN, GOLDENS, MemorySource, golden, tiny_llama
from tests.format.small_file import quantized

QUERY = "layers.0.attention.query.weight"
THEIR_QUERY = "model.layers.0.self_attn.q_proj.weight"
# Largest relative error of a Gaussian matrix, with room: a step / sqrt(12) over its spread.
BOUNDS = {"keep": 0.008, "int8": 0.008, "int4": 0.11, "float16": 3e-4, "float32": 0.0}


@pytest.mark.parametrize("name", GOLDENS)
def test_a_float32_export_has_the_logits_of_transformers(name, tmp_path):
    export(golden(name), tmp_path / "model.edge", quant="float32")
    expected = np.load(GOLDEN / name / "expected.npz")
    for key in {"logits", "logits_short"} & set(expected.files):
        found = logits(tmp_path / "model.edge", expected["tokens"][: len(expected[key])])
        np.testing.assert_allclose(found, expected[key], atol=1e-4)


@pytest.mark.parametrize("head_dim", [8, 12, 20])
def test_padded_heads_leave_the_logits_as_they_are(head_dim, tmp_path, monkeypatch):
    source = tiny_llama(head_dim)
    export(source, tmp_path / "padded.edge", quant="float32")
    monkeypatch.setattr("edge.exporter.architectures.padded_head_dim", lambda n: n)
    monkeypatch.setattr("edge.exporter.architectures.tensors.padded_head_dim", lambda n: n)
    monkeypatch.setattr("edge.exporter.architectures.checked", lambda config, *_: config)
    monkeypatch.setattr("edge.format.config._check", lambda config, where: None)
    export(source, tmp_path / "plain.edge", quant="float32")
    tokens = np.arange(20)
    padded, plain = (logits(tmp_path / f"{name}.edge", tokens) for name in ("padded", "plain"))
    np.testing.assert_allclose(padded, plain, atol=1e-12)


@pytest.mark.parametrize("quant", BOUNDS)
@pytest.mark.parametrize("name", ["smollm2", "phi4_mini", "qwen2"])
def test_what_is_stored_is_the_source_within_the_reported_error(name, quant, tmp_path):
    source = golden(name)
    report = export(source, tmp_path / "model.edge", quant=quant)
    file, tensors = EdgeFile(tmp_path / "model.edge"), lower(source).tensors
    assert file.verify() == []
    assert [info.name for info in report.tensors] == [tensor.name for tensor in tensors]
    for tensor, info in zip(tensors, report.tensors, strict=True):
        expected = tensor.read(source)
        if info.format == "vector":
            np.testing.assert_array_equal(vector(file, tensor.name), expected)
            continue
        moved = np.linalg.norm(matrix(file, tensor.name) - expected) / np.linalg.norm(expected)
        assert moved == pytest.approx(info.error, rel=1e-4, abs=1e-9)
        assert moved <= BOUNDS[quant]


def test_kept_grids_are_carried_over_bit_for_bit(tmp_path):
    source = tiny_llama()
    form = WeightFormat("int4", 32, offset=True)
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 16, source.tensors.pop(THEIR_QUERY).shape).astype(np.uint8)
    scales = rng.uniform(0.1, 1, (len(codes), 1)).astype(np.float16).astype(np.float32)
    source.on_grid[THEIR_QUERY] = QuantizedTensor(form, codes, scales, -scales)
    report = export(source, tmp_path / "model.edge", quant="keep")
    kept = {info.name: info for info in report.tensors}[QUERY]
    assert (kept.format, kept.error) == ("int4-g32-offset", 0.0)
    found = matrix(EdgeFile(tmp_path / "model.edge"), QUERY)
    np.testing.assert_array_equal(found, source.read(THEIR_QUERY))
    assert report.notes == ("7 of 8 matrices were on no grid of ours, now int8-g32",)


def test_a_ternary_model_stays_exact_and_its_embedding_is_int8(tmp_path):
    source = golden("bitnet")
    report = export(source, tmp_path / "model.edge", quant="ternary")
    formats = {info.name: info.format for info in report.tensors if len(info.shape) == 2}
    assert formats.pop("embedding.weight") == "int8-g32"
    assert set(formats.values()) == {"ternary"}
    assert all(not i.error for i in report.tensors if i.format == "ternary")
    found = matrix(EdgeFile(tmp_path / "model.edge"), QUERY)
    np.testing.assert_array_equal(found, source.read(THEIR_QUERY))


def test_an_ordinary_model_becomes_ternary_only_by_force(tmp_path):
    output = tmp_path / "model.edge"
    with pytest.raises(RecipeError, match=r"q_proj.weight' is not ternary.*--force"):
        export(tiny_llama(), output, quant="ternary")
    assert list(tmp_path.iterdir()) == []
    report = export(tiny_llama(), output, quant="ternary", force=True)
    assert report.notes == ("7 matrices were not ternary and were rounded by force",)


# --- 2 bits ---------------------------------------------------------------------------------------


def in_two_bits():
    """A tiny Llama whose source has the matrices of its layers in 2 bits."""
    source, form = tiny_llama(), WeightFormat("int2", 256, offset=True)
    for seed, name in enumerate([n for n in source.tensors if "_proj." in n]):
        source.on_grid[name] = quantized(form, *source.tensors.pop(name).shape, seed)
    return source


@pytest.mark.parametrize("quant", ["int2", "w2:gptq", "keep"])
def test_two_bits_of_the_source_stay_as_they_are(quant, tmp_path):
    source, ids = in_two_bits(), np.arange(40).reshape(2, 20)
    report = export(source, tmp_path / "model.edge", quant=quant, calib=ids)
    layers = [info for info in report.tensors if info.name.startswith("layers.")]
    assert {(i.format, i.error) for i in layers if len(i.shape) == 2} == {("int2-g256-offset", 0.0)}
    found = matrix(EdgeFile(tmp_path / "model.edge"), QUERY)
    np.testing.assert_array_equal(found, source.read(THEIR_QUERY))
    assert not any("2 bits" in caution for caution in report.cautions)


@pytest.mark.parametrize("quant", ["int2:awq", "int2,*.query=int2"])
def test_two_bits_of_the_source_are_not_rounded_to_other_two_bits(quant, tmp_path):
    with pytest.raises(RecipeError, match="would ruin it"):
        export(in_two_bits(), tmp_path / "m.edge", quant=quant, calib=np.zeros((1, 8), int))


def test_a_large_model_may_be_rounded_to_two_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("edge.exporter.rules.FEW", 1000)
    monkeypatch.setattr("edge.exporter.cautions.FEW", 1000)
    report = export(tiny_llama(), tmp_path / "model.edge", quant="int2")
    errors = [i.error for i in report.tensors if i.format == "int2-g256-offset"]
    assert len(errors) == 7 and all(0.2 < error < 0.3 for error in errors)
    (caution,) = report.cautions
    assert caution.startswith("2 bits without calibration") and "--force" not in caution


@pytest.mark.parametrize("name", ["llama3", "gemma2"])
def test_a_model_of_two_bits_computes_what_its_file_means(name, tmp_path):
    """Nothing moves but activations, which are rounded to 8 bits."""
    path, tokens = tmp_path / "model.edge", np.arange(21)
    export(golden(name), path, quant="int2,embedding=int2", force=True)
    model = Model(EdgeFile(path), threads=2, outputs=21)
    found, expected = model.forward(tokens, outputs=21), logits(path, tokens)
    model.close()
    assert np.sqrt(((found - expected) ** 2).mean()) < 0.1 * expected.std()


def test_the_header_says_what_the_model_is(tmp_path):
    json = tiny_model.tokenizer().to_str().encode()
    tokenizer = TokenizerFiles(json, "{{ messages }}", None, (2, 5), False)
    source = golden("smollm2")
    source.tokenizer_files = tokenizer
    source.generation = Generation(temperature=0.7, top_k=20)
    export(source, tmp_path / "model.edge", quant="int4", group=64)
    file = EdgeFile(tmp_path / "model.edge")
    assert file.config == lower(source).config
    assert file.document["recipe"] == "int4-g64"
    assert file.document["source"] == {"name": "smollm2", "sha256": "0" * 64}
    assert file.document["parameters"] == sum(t.size for t in source.tensors.values())
    assert file.document["tokenizer"] == {"bos": None, "eos": [2, 5], "add_bos": False}
    assert file.document["generation"] == {"temperature": 0.7, "top_k": 20}
    assert file.read_bytes("tokenizer.json") == tokenizer.json
    assert file.read_bytes("chat_template.jinja") == b"{{ messages }}"


@pytest.mark.parametrize(
    "template, chat, note",
    [
        (tiny_model.TEMPLATE, "pattern", None),
        ("{{ messages }}", "jinja2", "needs jinja2 on the device: it changes white space"),
        ("{% if %}", "jinja2", "needs jinja2 on the device: it is not a valid Jinja template"),
        (None, "plain", None),
    ],
)
def test_the_report_says_what_a_chat_needs(tmp_path, template, chat, note):
    source, json = golden("smollm2"), tiny_model.tokenizer().to_str().encode()
    source.tokenizer_files = TokenizerFiles(json, template, 256, (257,), True)
    report = export(source, tmp_path / "model.edge", quant="int4", group=64)
    file = EdgeFile(tmp_path / "model.edge")
    assert report.chat == report.to_json()["chat"] == chat
    assert ("chat_pattern.json" in file) == (chat == "pattern")
    assert [n for n in report.notes if "chat" in n] == [
        n for n in report.notes if note and note in n
    ]
    if chat == "pattern":
        pattern = ChatPattern.from_json(file.read_bytes("chat_pattern.json"), "model.edge")
        assert pattern.render([{"role": "user", "content": "hi"}]).startswith("<|begin|><|user|>hi")


def test_a_model_without_a_tokenizer_says_so(tmp_path):
    export(tiny_llama(), tmp_path / "model.edge")
    file = EdgeFile(tmp_path / "model.edge")
    assert file.document["tokenizer"] is None and file.document["generation"] is None
    assert "tokenizer.json" not in file and "chat_template.jinja" not in file


def test_the_report_is_the_document_of_the_command(tmp_path):
    output = tmp_path / "model.edge"
    report = export(golden("smollm2"), output, quant="int8")
    document = json.loads(json.dumps(report.to_json()))
    keys = {"output", "bytes", "bits_per_weight", "recipe", "seconds", "chat", "tensors"}
    assert document.keys() == keys
    assert document["output"] == str(output)
    assert document["bytes"] == output.stat().st_size
    assert document["recipe"] == "int8"
    stored = sum(tensor["bytes"] for tensor in document["tensors"])
    parameters = EdgeFile(output).document["parameters"]
    assert document["bits_per_weight"] == pytest.approx(8 * stored / parameters, abs=1e-4)
    for tensor in document["tensors"]:
        assert tensor.keys() == {"name", "format", "shape", "bytes", "error"}
        assert 0 <= tensor["error"] < 0.01
        if tensor["format"] != "vector":
            expected = weight_format(tensor["format"]).nbytes(*tensor["shape"])
            assert tensor["bytes"] == expected


def test_progress_counts_weights_up_to_all_of_them(tmp_path):
    seen = []
    export(
        tiny_llama(), tmp_path / "m.edge", progress=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1][0] == seen[-1][1] == lower(tiny_llama()).parameters


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    output = tmp_path / "model.edge"
    output.write_bytes(b"old")
    write, room = EdgeWriter._write, iter(range(20))

    def nearly_full(writer, data):
        if next(room, None) is None:
            raise writer._failure(OSError(errno.ENOSPC, "No space left on device"))
        write(writer, data)

    monkeypatch.setattr(EdgeWriter, "_write", nearly_full)
    with pytest.raises(DoesNotFit, match="No space left on device; free disk"):
        export(tiny_llama(), output)
    assert output.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.edge"]


def interrupted_at(weights: int):
    def progress(done, total):
        if done >= weights:
            raise KeyboardInterrupt

    return progress


def test_an_interrupt_leaves_the_old_file_and_what_is_done(tmp_path):
    output = tmp_path / "model.edge"
    output.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        export(tiny_llama(), output, progress=interrupted_at(1))
    assert output.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["model.edge", "model.edge.unfinished"]


def test_an_export_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    """Every tensor is stored once, and the file is that of an export in one go."""
    stored = []
    add = Store.add
    monkeypatch.setattr(Store, "add", lambda self, t: (stored.append(t.name), add(self, t))[1])
    export(tiny_llama(), tmp_path / "whole.edge", quant="int4")
    order, stored[:] = list(stored), []
    output = tmp_path / "model.edge"
    for weights in (1, 9000, 12000):
        with pytest.raises(KeyboardInterrupt):
            export(tiny_llama(), output, quant="int4", progress=interrupted_at(weights))
    export(tiny_llama(), output, quant="int4")
    assert stored == order
    assert output.read_bytes() == (tmp_path / "whole.edge").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["model.edge", "whole.edge"]


def test_what_another_recipe_has_written_is_not_used(tmp_path):
    output = tmp_path / "model.edge"
    with pytest.raises(KeyboardInterrupt):
        export(tiny_llama(), output, quant="int8", progress=interrupted_at(9000))
    report = export(tiny_llama(), output, quant="int4")
    assert "int4-g32-offset" in {info.format for info in report.tensors}
    assert EdgeFile(output).verify() == []


def test_bytes_that_a_power_cut_left_are_written_again(tmp_path):
    """The journal says that a tensor is whole; its bytes are zeros, or were never written."""
    output, folder = tmp_path / "model.edge", tmp_path / "model.edge.unfinished"
    export(tiny_llama(), tmp_path / "whole.edge")
    for damage in (lambda raw: raw[: len(raw) // 2], lambda raw: raw[:-4000] + bytes(4000)):
        with pytest.raises(KeyboardInterrupt):
            export(tiny_llama(), output, progress=interrupted_at(12000))
        part = folder / "weights.part"
        part.write_bytes(damage(part.read_bytes()))
        with open(folder / "journal.jsonl", "a") as journal:
            journal.write('{"tensor": {"na')
        export(tiny_llama(), output)
        assert output.read_bytes() == (tmp_path / "whole.edge").read_bytes()


def test_two_exports_to_one_place_do_not_meet(tmp_path):
    output = tmp_path / "model.edge"

    def second(done, total):
        with pytest.raises(OSError, match="another export is writing there"):
            export(tiny_llama(), output)

    export(tiny_llama(), output, progress=second)
    assert EdgeFile(output).verify() == []


def test_a_disk_too_small_is_refused_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 5000, 5000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(DoesNotFit, match="needs at least .* MB of disk, 0 MB are free"):
        export(tiny_llama(), tmp_path / "model.edge")
    assert list(tmp_path.iterdir()) == []


def test_a_tensor_beyond_memory_is_named(tmp_path):
    source = tiny_llama()
    source.read = lambda name: (_ for _ in ()).throw(MemoryError)
    with pytest.raises(DoesNotFit, match="'model.layers.0.input_layernorm.weight' of shape"):
        export(source, tmp_path / "model.edge")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e30])
@pytest.mark.parametrize("name", [THEIR_QUERY, "model.norm.weight"])
def test_weights_that_are_no_numbers_are_refused(name, value, tmp_path):
    source = tiny_llama()
    source.tensors[name].flat[5] = value
    with pytest.raises(SourceError, match=f"'{name}' holds NaN or numbers beyond"):
        export(source, tmp_path / "model.edge")


def test_kept_scales_that_are_no_numbers_are_refused(tmp_path):
    source = tiny_llama()
    codes = np.zeros(source.tensors.pop(THEIR_QUERY).shape, np.uint8)
    scales = np.full((len(codes), 1), np.inf, np.float32)
    source.on_grid[THEIR_QUERY] = QuantizedTensor(WeightFormat("int8"), codes, scales)
    with pytest.raises(SourceError, match="holds NaN"):
        export(source, tmp_path / "model.edge")


def test_weights_beyond_float16_ask_for_float32(tmp_path):
    source = tiny_llama()
    source.tensors[THEIR_QUERY][0, 0] = 70000
    with pytest.raises(RecipeError, match="beyond float16; use float32"):
        export(source, tmp_path / "model.edge", quant="float16")


def test_the_source_is_not_replaced(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((GOLDEN / "smollm2" / name).read_bytes())
    weights = folder / "model.safetensors"
    with pytest.raises(SourceError, match="belongs to the source model"):
        export(folder, weights)
    with pytest.raises(SourceError, match="belongs to the source model"):
        export(weights, weights)
    assert export(folder, folder / "model.edge").output.is_file()
    assert export(folder, folder / "model.edge").output.is_file()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        export(tiny_llama(), tmp_path / "absent" / "model.edge")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        export(tiny_llama(), tmp_path)


@pytest.mark.parametrize("quant", ["int8", "int4", "float16"])
def test_memory_stays_under_three_times_the_largest_tensor(quant, tmp_path):
    source, largest = _mostly_embedding(rows=2**17), 4 * 32 * 2**17
    tracemalloc.start()
    export(source, tmp_path / "model.edge", quant=quant)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * largest


def _mostly_embedding(rows: int) -> MemorySource:
    """Its embedding takes no memory before it is read."""
    source = tiny_llama(vocab_size=rows)
    source.tensors["model.embed_tokens.weight"] = np.broadcast_to(np.float16(0.5), (rows, 32))
    return source
