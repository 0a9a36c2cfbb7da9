"""Hugging Face folders: weights, configuration, tokenizer; and folders that are none."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, processors

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.sources import open_source
from edge.exporter.sources.bpe_vocabularies import byte_level
from edge.exporter.sources.huggingface import HuggingFaceSource
from edge.exporter.sources.pretokenizers import PRETOKENIZERS
from edge.exporter.sources.tokenizer_json import Vocabulary

GOLDEN = Path(__file__).parents[2] / "golden"
WEIGHTS = {
    "model.norm.weight": np.arange(4, dtype=np.float32),
    "lm_head.weight": np.arange(12, dtype=np.float16).reshape(3, 4),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder without a tokenizer."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_json(folder / "config.json", {"model_type": "llama", "eos_token_id": [2]})
    save_file(WEIGHTS, folder / "model.safetensors")
    return folder


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def sharded(folder: Path) -> dict[str, str]:
    """The folder's weights in a file each; the index that says where."""
    (folder / "model.safetensors").unlink()
    places = {}
    for i, (name, values) in enumerate(WEIGHTS.items()):
        places[name] = f"model-{i}.safetensors"
        save_file({name: values}, folder / places[name])
    return places


def write_index(folder: Path, places: Any) -> None:
    write_json(folder / "model.safetensors.index.json", {"weight_map": places})


def test_weights_are_read_as_float32(folder):
    source = HuggingFaceSource(folder)

    assert source.name == "model" and source.config["model_type"] == "llama"
    assert sorted(source.names()) == sorted(WEIGHTS)
    for name, values in WEIGHTS.items():
        assert source.shape(name) == values.shape
        assert source.read(name).dtype == np.float32 and (source.read(name) == values).all()
        assert source.kept(name) is None


@pytest.mark.parametrize("family", ["smollm2", "gemma3_text", "phi3", "bitnet"])
def test_a_checkpoint_of_transformers_is_read_as_the_reference_library_does(family):
    path = GOLDEN / family / "model.safetensors"
    if not path.exists():
        pytest.skip(f"no golden checkpoint {family}")
    expected = load_file(path)

    source = open_source(GOLDEN / family)

    assert sorted(source.names()) == sorted(expected)
    assert all((source.read(name) == values).all() for name, values in expected.items())


def test_shards_are_one_model(folder):
    write_index(folder, sharded(folder))

    source = HuggingFaceSource(folder)

    assert sorted(source.names()) == sorted(WEIGHTS)
    assert all((source.read(name) == values).all() for name, values in WEIGHTS.items())


def test_shards_without_an_index_are_one_model(folder):
    sharded(folder)

    assert sorted(HuggingFaceSource(folder).names()) == sorted(WEIGHTS)


def test_a_link_into_a_cache_is_a_file_of_the_folder(folder, tmp_path):
    """Hugging Face's cache keeps snapshots as links into a folder of blobs."""
    (folder / "model.safetensors").rename(tmp_path / "blob")
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")

    assert sorted(HuggingFaceSource(folder).names()) == sorted(WEIGHTS)


@pytest.mark.parametrize("shard", ["../secret", "/etc/passwd", "sub/x.safetensors", "..", 7])
def test_a_shard_outside_the_folder_is_refused(folder, shard):
    write_index(folder, sharded(folder) | {"model.norm.weight": shard})

    with pytest.raises(SourceError, match="lies outside the folder"):
        HuggingFaceSource(folder)


def test_a_shard_without_the_promised_tensor_is_refused(folder):
    places = sharded(folder)
    write_index(folder, places | {"model.norm.weight": places["lm_head.weight"]})

    with pytest.raises(SourceError, match="has no tensor 'model.norm.weight'"):
        HuggingFaceSource(folder)


def test_a_missing_shard_is_named(folder):
    write_index(folder, {"model.norm.weight": "model-7.safetensors"})

    with pytest.raises(SourceError, match="model-7.safetensors: cannot be read"):
        HuggingFaceSource(folder)


def test_a_tensor_in_two_files_is_refused(folder):
    sharded(folder)
    shutil.copy(folder / "model-0.safetensors", folder / "model-9.safetensors")

    with pytest.raises(SourceError, match="is also in"):
        HuggingFaceSource(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickles_are_not_opened(folder, name):
    (folder / "model.safetensors").rename(folder / name)

    with pytest.raises(SourceError, match="pickled weights.*safetensors"):
        HuggingFaceSource(folder)


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()

    with pytest.raises(SourceError, match="no \\*.safetensors"):
        HuggingFaceSource(folder)


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(SourceError, match="config.json is missing"):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1, "a": 2}', "[" * 100_000, "\ud800"])
def test_a_broken_configuration_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(SourceError, match="config.json"):
        HuggingFaceSource(folder)


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
@pytest.mark.parametrize("method", ["quanto", "hqq", "aqlm", 7, {}])
def test_other_quantizations_are_refused_by_name(folder, key, method):
    write_json(folder / "config.json", {"model_type": "llama", key: {"quant_method": method}})

    with pytest.raises(UnsupportedModel, match=re.escape(f"quantized by {method!r}; edge reads")):
        HuggingFaceSource(folder)


def test_an_absent_tensor_is_named(folder):
    with pytest.raises(SourceError, match="no tensor 'x'"):
        HuggingFaceSource(folder).read("x")


def test_the_digest_covers_every_file_and_not_the_folder_s_name(folder, tmp_path):
    before = HuggingFaceSource(folder).digest()
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert HuggingFaceSource(moved).digest() == before

    write_json(moved / "generation_config.json", {})

    assert HuggingFaceSource(moved).digest() != before


def test_sampling_defaults_come_from_the_generation_configuration(folder):
    settings = {"temperature": 0.6, "top_k": 20, "top_p": None, "do_sample": True}
    write_json(folder / "generation_config.json", settings)

    generation = HuggingFaceSource(folder).generation

    assert (generation.temperature, generation.top_k) == (0.6, 20)
    assert generation.top_p is None and generation.repetition_penalty is None


@pytest.fixture
def with_tokenizer(folder: Path) -> Path:
    """The folder with the bytes as vocabulary, <s>, </s> and <|im_end|>."""
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = [*sorted(ByteLevel.alphabet()), "<s>", "</s>", "<|im_end|>"]
    vocabulary = Vocabulary(tokens, [1] * 256 + [3] * 3)
    (folder / "tokenizer.json").write_bytes(
        byte_level(vocabulary, [], PRETOKENIZERS["gpt-2"], "test")
    )
    return folder


BOS, EOS, IM_END = 256, 257, 258


def test_a_folder_without_a_tokenizer_has_none(folder):
    assert HuggingFaceSource(folder).tokenizer() is None


def test_a_tokenizer_of_sentencepiece_alone_is_refused_with_advice(folder):
    (folder / "tokenizer.model").write_bytes(b"x")

    with pytest.raises(UnsupportedModel, match="save_pretrained"):
        HuggingFaceSource(folder).tokenizer()


def test_the_tokenizer_is_stored_as_it_is(with_tokenizer):
    files = HuggingFaceSource(with_tokenizer).tokenizer()

    assert files is not None
    assert files.json == (with_tokenizer / "tokenizer.json").read_bytes()
    assert (files.bos, files.add_bos, files.chat_template) == (None, False, None)


def test_end_tokens_are_gathered_from_every_file(with_tokenizer):
    write_json(with_tokenizer / "generation_config.json", {"eos_token_id": [5, 10**6]})
    write_json(with_tokenizer / "tokenizer_config.json", {"eos_token": {"content": "</s>"}})

    files = HuggingFaceSource(with_tokenizer).tokenizer()

    assert files is not None and files.eos == (5, 2, EOS, IM_END)


@pytest.mark.parametrize("bos", ["<s>", {"content": "<s>", "lstrip": False}])
def test_the_first_token_is_added_where_the_tokenizer_adds_it(with_tokenizer, bos):
    write_json(with_tokenizer / "tokenizer_config.json", {"bos_token": bos})
    files = HuggingFaceSource(with_tokenizer).tokenizer()
    assert files is not None and (files.bos, files.add_bos) == (BOS, False)

    tokenizer = Tokenizer.from_file(str(with_tokenizer / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", BOS)]
    )
    tokenizer.save(str(with_tokenizer / "tokenizer.json"))

    files = HuggingFaceSource(with_tokenizer).tokenizer()
    assert files is not None and (files.bos, files.add_bos) == (BOS, True)


@pytest.mark.parametrize(
    "template, expected",
    [
        ("plain", "plain"),
        ([{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}], "d"),
        ([{"name": "rag", "template": "r"}], None),
        ([], None),
        (None, None),
    ],
)
def test_the_chat_template_is_the_default_one(with_tokenizer, template, expected):
    write_json(with_tokenizer / "tokenizer_config.json", {"chat_template": template})

    files = HuggingFaceSource(with_tokenizer).tokenizer()

    assert files is not None and files.chat_template == expected


def test_a_chat_template_of_its_own_comes_first(with_tokenizer):
    write_json(with_tokenizer / "tokenizer_config.json", {"chat_template": "old"})
    (with_tokenizer / "chat_template.jinja").write_text("new")

    files = HuggingFaceSource(with_tokenizer).tokenizer()

    assert files is not None and files.chat_template == "new"


def test_a_chat_template_that_is_no_text_is_refused(with_tokenizer):
    write_json(with_tokenizer / "tokenizer_config.json", {"chat_template": {"a": 1}})

    with pytest.raises(SourceError, match="chat_template is not text"):
        HuggingFaceSource(with_tokenizer).tokenizer()


@pytest.mark.parametrize("text", ["", "{}", '{"model": {"type": "BPE"}}', "\ud800"])
def test_a_broken_tokenizer_is_refused(with_tokenizer, text):
    (with_tokenizer / "tokenizer.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(SourceError, match="tokenizer.json"):
        HuggingFaceSource(with_tokenizer).tokenizer()
