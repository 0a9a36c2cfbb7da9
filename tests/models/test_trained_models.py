"""Really trained models through the whole path: fluent text, ternary weights without loss."""

import numpy as np
import pytest

import edge
from edge.exporter import export
from edge.exporter.sources import open_source
from edge.format import tiles
from edge.format.formats import WeightFormat
from edge.format.reader import EdgeFile

LILY = ", there was a little girl named Lily. She loved to play"


def story(path, source, quant: str) -> str:
    export(source, path, quant=quant)
    model = edge.load(path, threads=2)
    text = model.generate("Once upon a time", max_tokens=40, temperature=0.0).text
    model.close()
    return text


@pytest.mark.parametrize("quant", ["keep", "int8", "float16", "float32"])
def test_stories260k_tells_a_story(test_data, tmp_path, quant):
    source = test_data("stories260K/stories260K.bin")
    assert story(tmp_path / "m.edge", source, quant).startswith(LILY)


@pytest.mark.parametrize("quant", ["keep", "ternary", "ternary-dense", "float32"])
def test_the_ternary_model_tells_a_story(test_data, tmp_path, quant):
    source = test_data("bitllama/bit_1M.bin")
    assert story(tmp_path / "m.edge", source, quant).startswith(LILY)


@pytest.mark.parametrize("quant", ["ternary", "ternary-dense"])
def test_trained_ternary_weights_are_stored_without_loss(test_data, tmp_path, quant):
    source = open_source(test_data("bitllama/bit_1M.bin"))
    export(source, tmp_path / "m.edge", quant=quant)
    file, form = EdgeFile(tmp_path / "m.edge"), WeightFormat(quant)
    kept = source.kept("model.layers.3.mlp.down_proj.weight")
    name = "layers.3.feed_forward.down.weight"
    rows, columns = file.info(name).shape
    stored = tiles.unpack(file.view(name).reshape(form.tiles(rows), -1), form, rows, columns)
    assert kept is not None and (stored.codes == kept.codes).all()
    assert (stored.dequantize() == kept.dequantize()).all()


def test_smollm2_knows_its_capital(test_data, tmp_path):
    source = test_data("SmolLM2-135M-Instruct.Q4_1.gguf")
    export(source, tmp_path / "m.edge", quant="keep")
    model = edge.load(tmp_path / "m.edge", threads=2, context=256)
    question = [
        {"role": "user", "content": "What is the capital of France, and what is it known for?"}
    ]
    answer = model.chat(question, max_tokens=16, temperature=0.0)
    assert "Paris" in answer["choices"][0]["message"]["content"]
    model.close()


def test_a_kept_checkpoint_is_its_source_bit_for_bit(test_data, tmp_path):
    source = open_source(test_data("SmolLM2-135M-Instruct.Q4_1.gguf"))
    export(source, tmp_path / "m.edge", quant="keep")
    file = EdgeFile(tmp_path / "m.edge")
    for ours, theirs in (
        ("layers.7.attention.query", "model.layers.7.self_attn.q_proj"),
        ("layers.29.feed_forward.down", "model.layers.29.mlp.down_proj"),
        ("embedding", "model.embed_tokens"),
    ):
        info = file.info(f"{ours}.weight")
        expected = source.read(f"{theirs}.weight")
        form = source.kept(f"{theirs}.weight").format
        view = file.view(f"{ours}.weight").reshape(form.tiles(info.shape[0]), -1)
        stored = tiles.unpack(view, form, *info.shape)
        assert np.array_equal(stored.dequantize(), expected) and info.error == 0.0
