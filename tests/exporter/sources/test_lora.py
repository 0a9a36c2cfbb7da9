"""LoRA adapters: what PEFT makes of a base's weights, and adapters that do not fit."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from edge.errors import EdgeError, SourceError, UnsupportedModel
from edge.exporter import export
from edge.exporter.explain import explain
from edge.exporter.quantize import Method, quantize
from edge.exporter.sources import open_source
from edge.exporter.sources.lora import LoraSource
from edge.format.formats import QuantizedTensor, WeightFormat
from edge.format.reader import EdgeFile
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import MemorySource, golden

GOLDEN = Path(__file__).parents[2] / "golden"
BASE = GOLDEN / "llama2"
CASES = sorted(path.parent.name for path in GOLDEN.glob("lora/*/expected.npz"))
QUERY = "model.layers.0.self_attn.q_proj"


def test_there_are_golden_adapters():
    assert CASES == ["embedding", "patterns", "plain", "rslora"]


@pytest.mark.parametrize("case", CASES)
def test_merged_weights_are_those_of_peft(case):
    """To the rounding of float32 sums in another order: r products of order one."""
    base = open_source(BASE)
    source = LoraSource(base, GOLDEN / "lora" / case)
    expected = np.load(GOLDEN / "lora" / case / "expected.npz")
    assert list(source.names()) == list(base.names()) and len(expected)
    for name in source.names():
        values = source.read(name)
        assert values.shape == base.shape(name)
        if name in expected:
            rows = expected[name]
            assert np.abs(rows - base.read(name)[: len(rows)]).max() > 0.01
            np.testing.assert_allclose(values[: len(rows)], rows, rtol=0, atol=1e-6)
        else:
            np.testing.assert_array_equal(values, base.read(name))


@pytest.fixture
def adapter(tmp_path):
    """Writes an adapter of the query: adapter(settings, tensors); returns its folder."""

    def adapter(settings: dict[str, Any], tensors: dict[str, np.ndarray] | None = None) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir(exist_ok=True)
        document = {"peft_type": "LORA", "r": 2, "lora_alpha": 2} | settings
        (folder / "adapter_config.json").write_text(json.dumps(document))
        save_file(FACTORS if tensors is None else tensors, folder / "adapter_model.safetensors")
        return folder

    return adapter


rng = np.random.default_rng(1)
A, B = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 64), (64, 2)))
FACTORS = {
    f"base_model.model.{QUERY}.lora_A.weight": A,
    f"base_model.model.{QUERY}.lora_B.weight": B,
}


def test_an_export_has_the_merged_weights_and_says_of_what(adapter, tmp_path):
    output = tmp_path / "merged.edge"
    export(BASE, output, quant="float32", lora=adapter({}))
    file, base = EdgeFile(output), open_source(BASE)
    merged = base.read(QUERY + ".weight") + B @ A
    stored = file.view("layers.0.attention.query.weight").view(np.float32)
    assert file.document["source"]["name"] == "llama2 + adapter"
    assert file.document["source"]["sha256"] != base.digest()
    # Tiles of 16 rows hold the same numbers in another order.
    np.testing.assert_allclose(np.sort(stored.ravel()), np.sort(merged.ravel()), atol=1e-5)


def test_a_model_with_the_adapter_beside_it_is_the_merged_model(adapter, tmp_path):
    """Its matrices on a grid, so that they can stay; factors that float16 holds."""
    base, method = golden("llama2"), Method(WeightFormat("int8", 32), "absmax")
    for name in [name for name, values in base.tensors.items() if values.ndim == 2]:
        base.on_grid[name] = quantize(base.tensors.pop(name), method)
    halves = {name: values.astype(np.float16) / 4 for name, values in FACTORS.items()}
    beside = {"lora": adapter({}, halves)}
    base_logits = exported_logits(base, tmp_path, quant="keep")
    merged = exported_logits(base, tmp_path, quant="float32", **beside)
    apart = exported_logits(base, tmp_path, quant="keep", lora_apart=True, **beside)
    assert EdgeFile(tmp_path / "x.edge").info("layers.0.attention.query.low_rank_left").shape
    np.testing.assert_allclose(apart, merged, atol=1e-4)
    assert np.abs(base_logits - merged).max() > 0.1


def exported_logits(source: MemorySource, folder: Path, **settings: Any) -> np.ndarray:
    """What the file means, in float64."""
    export(source, folder / "x.edge", **settings)
    return decoder_oracle.logits(folder / "x.edge", np.arange(16))


def test_what_an_adapter_leaves_alone_stays_on_its_grid(adapter):
    codes, scales = np.ones((64, 64), np.uint8), np.ones((64, 1), np.float32)
    ternary = QuantizedTensor(WeightFormat("ternary"), codes, scales)
    base = MemorySource({}, {}, {QUERY + ".weight": ternary, "other": ternary})
    source = LoraSource(base, adapter({}))
    assert source.kept(QUERY + ".weight") is None
    assert source.kept("other") is ternary


def test_an_explanation_is_of_the_merged_model(adapter):
    plans = [explain(str(BASE), "int8", lora=lora).classes for lora in (None, adapter({}))]
    changed = [a.name for a, b in zip(*plans, strict=True) if a.error != b.error]
    assert changed == ["attention.query"]


def test_whole_tensors_go_before_the_base_s(adapter):
    bias_free = "base_model.model.model.norm.weight"
    gain = np.full(64, 3, np.float32)
    source = LoraSource(open_source(BASE), adapter({}, FACTORS | {bias_free: gain}))
    assert (source.read("model.norm.weight") == 3).all()


def test_an_embedding_saved_beside_its_factors_is_the_base_of_them(adapter):
    name = "base_model.model.model.embed_tokens"
    table = np.ones((256, 64), np.float32)
    a, b = np.ones((2, 256), np.float32), np.ones((64, 2), np.float32)
    tensors = {
        f"{name}.lora_embedding_A": a,
        f"{name}.lora_embedding_B": b,
        f"{name}.base_layer.weight": table,
    }
    source = LoraSource(open_source(BASE), adapter({}, tensors))
    assert (source.read("model.embed_tokens.weight") == 3).all()


def renamed(tensors: dict[str, np.ndarray], old: str, new: str) -> dict[str, np.ndarray]:
    return {name.replace(old, new): values for name, values in tensors.items()}


@pytest.mark.parametrize(
    "settings, tensors, message",
    [
        (
            {},
            renamed(FACTORS, "q_proj", "x_proj"),
            "x_proj.weight' is for shape .* llama2 has none",
        ),
        ({}, renamed(FACTORS, "q_proj", "up_proj"), r"llama2 has none"),
        ({}, renamed(FACTORS, "self_attn.q_proj", "mlp.up_proj"), r"llama2 has \[96, 64\]"),
        ({}, {k: v for k, v in FACTORS.items() if "lora_A" in k}, "one factor of two: lora_A"),
        ({}, FACTORS | {"base_model.model.x.weight": A}, "'x.weight' .* has none"),
        ({}, {k: v[:, :1] for k, v in FACTORS.items()}, r"factors F32 \[2, 1\] and F32 \[64, 1\]"),
        ({}, {k: v.ravel() for k, v in FACTORS.items()}, "expected floats"),
        ({}, {k: v.astype(np.int32) for k, v in FACTORS.items()}, "expected floats"),
        ({}, {}, "without tensors"),
        ({"r": 3}, None, "rank 3, the factors have 2"),
        ({"r": None}, None, "rank None"),
        ({"lora_alpha": "2"}, None, "lora_alpha '2'"),
        ({"lora_alpha": float("inf")}, None, "lora_alpha inf"),
        ({"rank_pattern": [1]}, None, "rank_pattern .* is not a JSON object"),
        ({"alpha_pattern": {"(a+)+$": 1}}, None, "expression '\\(a\\+\\)\\+\\$'"),
        ({"peft_type": "IA3"}, None, "type 'IA3'; edge merges LORA"),
        ({"use_dora": True}, None, "use_dora; merge it with PEFT"),
        ({"layer_replication": [[0, 1]]}, None, "layer_replication"),
        ({"init_lora_weights": "pissa_niter_4"}, None, "'pissa_niter_4' changed"),
    ],
)
def test_adapters_that_do_not_fit_are_refused_by_name(adapter, settings, tensors, message):
    with pytest.raises((SourceError, UnsupportedModel), match=message):
        LoraSource(open_source(BASE), adapter(settings, tensors))


def test_a_norm_does_not_replace_one_that_is_stored_folded(adapter):
    base = open_source(BASE)
    base.norms_are_folded = True
    tensors = FACTORS | {"base_model.model.model.norm.weight": np.ones(64, np.float32)}
    with pytest.raises(UnsupportedModel, match="replaces 'model.norm.weight'"):
        LoraSource(base, adapter({}, tensors))


def test_a_folder_that_is_no_adapter_is_refused(tmp_path, adapter):
    with pytest.raises(SourceError, match="not a LoRA adapter: adapter_config.json is missing"):
        LoraSource(open_source(BASE), tmp_path)
    folder = adapter({})
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(SourceError, match=r"adapter_model.safetensors: cannot be read"):
        LoraSource(open_source(BASE), folder)


@pytest.mark.parametrize("case", CASES)
def test_a_truncated_adapter_is_refused(tmp_path, case):
    folder = shutil.copytree(GOLDEN / "lora" / case, tmp_path / "adapter")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        data = (folder / name).read_bytes()
        for size in range(0, len(data) - 1, 101):
            (folder / name).write_bytes(data[:size])
            with pytest.raises(EdgeError, match=re.escape(name)):
                LoraSource(open_source(BASE), folder)
        (folder / name).write_bytes(data)
    assert len(load_file(folder / "adapter_model.safetensors"))
