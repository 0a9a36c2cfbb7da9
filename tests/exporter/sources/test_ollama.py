"""Ollama's store: a model found by its name, its blobs checked, its parameters taken."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import SourceError, UnsupportedModel
from edge.exporter import export
from edge.exporter.sources import open_source
from edge.exporter.sources.ollama import OllamaSource
from edge.exporter.sources.ollama_store import find
from edge.format.reader import EdgeFile

KIND = "application/vnd.ollama.image."
NAME = "registry.ollama.ai/library/tiny/latest"


@pytest.fixture
def store(tmp_path):
    """Puts a model into a store: store({kind: content}, path of its manifest); returns the store."""
    root = tmp_path / "models"
    (root / "blobs").mkdir(parents=True)

    def put(layers: dict[str, bytes], name: str = NAME) -> Path:
        entries = []
        for kind, content in layers.items():
            digest = hashlib.sha256(content).hexdigest()
            (root / "blobs" / f"sha256-{digest}").write_bytes(content)
            layer = {"mediaType": KIND + kind, "digest": f"sha256:{digest}", "size": len(content)}
            entries.append(layer)
        manifest = root / "manifests" / name
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text(json.dumps({"schemaVersion": 2, "layers": entries}))
        return root

    return put


@pytest.fixture
def gguf(write_gguf: Callable[..., Path]) -> bytes:
    """A GGUF file of one block."""
    rng = np.random.default_rng(0)
    shapes = {
        "token_embd": (8, 64),
        "output_norm": (64,),
        "blk.0.attn_norm": (64,),
        "blk.0.ffn_norm": (64,),
        "blk.0.attn_q": (64, 64),
        "blk.0.attn_k": (32, 64),
        "blk.0.attn_v": (32, 64),
        "blk.0.attn_output": (64, 64),
        "blk.0.ffn_gate": (96, 64),
        "blk.0.ffn_up": (96, 64),
        "blk.0.ffn_down": (64, 96),
    }
    tensors = {
        f"{name}.weight": (rng.normal(size=shape).astype(np.float32), "F32")
        for name, shape in shapes.items()
    }
    return write_gguf("llama", {"general.sampling.top_k": 40}, tensors).read_bytes()


@pytest.mark.parametrize("named", ["tiny", "tiny:latest", "library/tiny", "{store}", "{manifest}"])
def test_a_model_is_found(store, gguf, monkeypatch, named):
    root = store({"license": b"MIT", "model": gguf, "template": b"{{ .Prompt }}"})
    monkeypatch.setenv("OLLAMA_MODELS", str(root))
    places = {"{store}": str(root), "{manifest}": str(root / "manifests" / NAME)}

    source = open_source(places.get(named, f"ollama:{named}"))

    assert source.name == "tiny:latest"
    assert source.config["model_type"] == "llama" and source.generation.top_k == 40
    assert source.digest() == hashlib.sha256(gguf).hexdigest()


@pytest.mark.parametrize(
    "name, path",
    [
        ("tiny:1b-q4_0", "registry.ollama.ai/library/tiny/1b-q4_0"),
        ("ann/tiny", "registry.ollama.ai/ann/tiny/latest"),
        ("hf.co/ann/tiny-GGUF:Q4_K_M", "hf.co/ann/tiny-GGUF/Q4_K_M"),
        ("localhost:5000/ann/tiny:7b", "localhost:5000/ann/tiny/7b"),
    ],
)
def test_names_are_read_as_ollama_reads_them(store, gguf, name, path):
    root = store({"model": gguf}, path)
    assert find(name, {"OLLAMA_MODELS": str(root)}) == root / "manifests" / path


def test_the_home_folder_is_the_place_where_nothing_else_is_said(store, gguf, tmp_path):
    (tmp_path / ".ollama").mkdir()
    root = store({"model": gguf}).rename(tmp_path / ".ollama" / "models")
    assert find("tiny", {"HOME": str(tmp_path)}) == root / "manifests" / NAME


def test_a_file_named_by_its_hash_is_a_gguf_file(store, gguf):
    root = store({"model": gguf})
    (blob,) = (root / "blobs").iterdir()
    assert open_source(blob).config["model_type"] == "llama"


def test_the_modelfile_s_parameters_are_sampling_defaults(store, gguf):
    parameters = {"temperature": 0.6, "top_p": 0.9, "repeat_penalty": 1, "stop": ["<end>"]}
    source = open_source(store({"model": gguf, "params": json.dumps(parameters).encode()}))
    generation = source.generation
    assert (generation.temperature, generation.top_p) == (0.6, 0.9)
    assert (generation.top_k, generation.repetition_penalty) == (40, 1)


def test_an_export_is_called_by_the_model_s_name(store, gguf, tmp_path):
    output = tmp_path / "tiny.edge"
    export(store({"model": gguf}), output)
    source = EdgeFile(output).document["source"]
    assert source == {"name": "tiny:latest", "sha256": hashlib.sha256(gguf).hexdigest()}


def test_a_blob_that_is_not_what_its_name_says_leaves_no_file(store, gguf, tmp_path):
    root = store({"model": gguf})
    (blob,) = (root / "blobs").iterdir()
    blob.write_bytes(gguf[:-1] + bytes([gguf[-1] ^ 1]))
    with pytest.raises(SourceError, match="the SHA-256 is .* pull the model again"):
        export(root, tmp_path / "tiny.edge")
    assert not (tmp_path / "tiny.edge").exists()


@pytest.mark.parametrize(
    "name", ["", "a/b/c/d", "../x", "a:b:c", "x/..", "a b", "/etc/passwd", "a/"]
)
def test_what_is_no_name_is_refused(name, tmp_path):
    with pytest.raises(SourceError, match="is no name of a model"):
        find(name, {"OLLAMA_MODELS": str(tmp_path)})


def test_a_model_that_is_not_there_is_refused_with_those_that_are(store, gguf, tmp_path):
    with pytest.raises(SourceError, match="pull it first"):
        find("tiny", {"OLLAMA_MODELS": str(tmp_path)})
    root = store({"model": gguf})
    store({"model": gguf}, "hf.co/ann/tiny/Q8_0")
    with pytest.raises(SourceError, match="ollama:hf.co/ann/tiny:Q8_0, ollama:tiny:latest"):
        find("other", {"OLLAMA_MODELS": str(root)})
    with pytest.raises(SourceError, match="expected one model; choose from"):
        open_source(root)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"digest": "sha256:../../../etc/passwd"}, "no SHA-256"),
        ({"digest": 7}, "no SHA-256: 7"),
        ({"digest": "sha256:" + "0" * 64}, "is missing, which"),
        ({"size": 5}, "bytes, expected 5: pull the model again"),
        ({"size": None}, "bytes, expected None"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(store, gguf, change, message):
    manifest = store({"model": gguf}) / "manifests" / NAME
    document = json.loads(manifest.read_text())
    document["layers"][0] |= change
    manifest.write_text(json.dumps(document))
    with pytest.raises(SourceError, match=message):
        OllamaSource(manifest)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layers": {}}', '{"layers": [1]}', "{" * 9999])
def test_a_manifest_that_is_none_is_refused(store, gguf, text):
    manifest = store({"model": gguf}) / "manifests" / NAME
    manifest.write_text(text)
    with pytest.raises(SourceError, match="tiny/latest"):
        OllamaSource(manifest)


@pytest.mark.parametrize("layers", [{}, {"tensor": b"x"}, {"model": b"GGUF", "adapter": b"x"}])
def test_a_model_of_other_parts_is_refused_by_what_it_is_made_of(store, layers: Any):
    root = store(layers)
    made_of = ", ".join(sorted(layers)) or "nothing"
    with pytest.raises(UnsupportedModel, match=f"this one is made of {made_of}"):
        open_source(root)
