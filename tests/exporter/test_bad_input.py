"""What a user may get wrong, and matrices that are odd: a line each, and nothing half-written."""

import numpy as np
import pytest
import tiny_model

from edge.errors import EdgeError, RecipeError, SourceError
from edge.exporter import export
from edge.exporter.language import parse
from edge.exporter.quantize import quantization_error, quantize
from edge.exporter.registry import own
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from tests.exporter.memory_source import tiny_llama

IDS = np.random.default_rng(0).integers(0, 40, (16, 24))
PRESETS = ("int8", "int8-g0", "int4", "int3", "int2", "code4", "ternary")
NORMAL = np.random.default_rng(0).normal(0, 0.1, (17, 100)).astype(np.float32)
ODD = {
    "zeros": np.zeros((3, 96), np.float32),
    "constant": np.full((5, 96), 0.3, np.float32),
    "negative constant": np.full((5, 100), -2e-5, np.float32),
    "one row": NORMAL[:1],
    "one column": NORMAL[:, :1],
    "columns no group divides": NORMAL[:, :77],
    "as large as weights may be": NORMAL[:4] * np.float32(1e15),
    "almost nothing": NORMAL[:4] * np.float32(1e-30),
}


def methods():
    """Every method that stores a matrix, on every grid that it suits."""
    for name, entry in own().items():
        for preset in PRESETS if entry.kind != "transform" else ():
            try:
                recipe = parse(f"{preset}:{name}")
            except RecipeError:
                continue
            yield pytest.param(recipe.inexact or recipe.body, id=f"{preset}:{name}")


@pytest.mark.parametrize("matrix", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("method", list(methods()))
def test_every_method_takes_every_matrix(method, matrix):
    """Warnings are errors here; a matrix moves by less than it is, or by float16's smallest steps."""
    h = np.eye(matrix.shape[1]) if method.needs_data else None
    stored = quantize(matrix, method, h)
    values = stored.dequantize()
    assert values.shape == matrix.shape and np.isfinite(values).all()
    if matrix.any():
        near = np.abs(values - matrix).max() <= 2**-23
        assert near or quantization_error(matrix, stored) < 1
    else:
        assert not values.any()


@pytest.mark.parametrize(
    "name", [name for name, entry in own().items() if entry.kind == "transform"]
)
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_every_transform_takes_constant_matrices(name, value, tmp_path):
    source = tiny_llama(intermediate_size=50)  # columns that no group divides
    feed = {"mlp.gate_proj": (50, 32), "mlp.up_proj": (50, 32), "mlp.down_proj": (32, 50)}
    for part, shape in feed.items():
        source.tensors[f"model.layers.0.{part}.weight"] = np.full(shape, value, np.float32)
    source.tensors["model.layers.0.self_attn.v_proj.weight"][:] = value
    output = export(source, tmp_path / "m.edge", quant=f"int4:{name}", calib=IDS).output
    model = Model(EdgeFile(output), threads=1)
    assert np.isfinite(model.forward([1, 2, 3])).all()
    model.close()


# --- a line each, and nothing written -------------------------------------------------------------


def text(folder, words):
    path = folder / "text.txt"
    path.write_text(words)
    return path


@pytest.mark.parametrize(
    "quant, settings, message",
    [
        ("int4:gptq", {}, r"give a text \(--calib FILE\).*or take int4-search, which needs none"),
        ("int4,*.value=int8:clip+gptq", {}, "chooses by what the model reads"),
        ("int4:gptq", {"calib": "absent.txt"}, "no such file or folder to calibrate with: absent"),
        ("int4:gptq", {"calib": np.zeros((0, 8), int)}, "expected token ids"),
        ("int4:gptq", {"calib": np.full((2, 8), 40)}, "token id 40, expected 0..39"),
        (
            "mixed:2",
            {},
            r"no formats fit into 2 bits a weight; this model takes \d+.\d+ at least",
        ),
        ("mixed:5.5:twn", {}, "'twn'"),
        ("int4:awq+awq", {}, "'awq' is named twice"),
        ("int4,*.value=int8:awq", {}, "'awq' changes the whole model; name it before the rules"),
        ("code4:hqq", {}, "no scales 'hqq' for code4; "),
        ("int4,layers.9.*=int8", {}, r"rule for 'layers.9.\*' fits no matrix; one is called"),
        ("ternary", {}, "is not ternary, and rounding it would ruin the model"),
        ("int2", {}, r"a model of 0.0 million weights to int2-g256-offset would ruin .*--force"),
        ("w2:awq+gptq", {"calib": IDS}, "would ruin it; choose int8 or int4"),
        ("int8,*.up=int2", {}, "would ruin it"),
        ("binary", {}, "is not binary, and rounding it would ruin the model"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(quant, settings, message, tmp_path):
    source = tiny_llama()
    source.tokenizer_files = _tokenizer()
    with pytest.raises(EdgeError, match=message) as error:
        export(source, tmp_path / "m.edge", quant=quant, **settings)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def _tokenizer():
    from edge.exporter.sources import TokenizerFiles

    json = tiny_model.tokenizer().to_str().encode()
    return TokenizerFiles(json, None, None, (), False)


def test_a_text_shorter_than_a_window_is_refused(tmp_path):
    source = tiny_llama(vocab_size=300, max_position_embeddings=1024)
    source.tensors["model.embed_tokens.weight"] = np.ones((300, 32), np.float32)
    source.tokenizer_files = _tokenizer()
    calib = text(tmp_path, "a" * 511)
    for settings in ({}, {"report": tmp_path / "m.html"}):
        with pytest.raises(SourceError, match="511 tokens, a window has 512; give a text of some"):
            export(source, tmp_path / "m.edge", quant="int4:gptq", calib=calib, **settings)
    assert list(tmp_path.iterdir()) == [calib]


@pytest.mark.parametrize("quant", ["int8", "int4-search", "int4:awq+gptq", "float16", "keep"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_tensor_is_named_whatever_the_recipe(quant, value, tmp_path):
    source = tiny_llama()
    source.tensors["model.layers.0.mlp.up_proj.weight"][3, 3] = value
    with pytest.raises(SourceError, match="'model.layers.0.mlp.up_proj.weight' holds NaN"):
        export(source, tmp_path / "m.edge", quant=quant, calib=IDS)
    assert not (tmp_path / "m.edge").exists()


def test_a_text_that_no_method_needs_is_said_to_be_unread(tmp_path):
    report = export(tiny_llama(), tmp_path / "m.edge", quant="int4", calib="absent.txt")
    assert report.notes == ("recipe 'int4' needs no text: the one to calibrate with was not read",)
