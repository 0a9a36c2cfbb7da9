"""Recipes by name."""

import numpy as np
import pytest

from edge.errors import RecipeError
from edge.exporter import export
from edge.exporter.language import parse
from edge.exporter.recipe import ALIASES, PRESETS, RECIPES
from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from tests.exporter import decoder_oracle
from tests.exporter.memory_source import golden

BODY, EMBEDDING = "layers.0.attention.query.weight", "embedding.weight"


@pytest.mark.parametrize(
    "text, body, embedding",
    [
        ("keep", "int8-g32", "int8-g32"),
        ("int8", "int8-g32", "int8-g32"),
        ("int8-g0", "int8", "int8"),
        ("int8-g128", "int8-g128", "int8-g128"),
        ("int4", "int4-g32-offset", "int8-g32"),
        ("int4-g64", "int4-g64-offset", "int8-g32"),
        ("int4-g256", "int4-g256-offset", "int8-g32"),
        ("int3", "int3-g256", "int8-g32"),
        ("int2", "int2-g256-offset", "int8-g32"),
        ("int5", "int5-g256-offset", "int8-g32"),
        ("int5-g32", "int5-g32-offset", "int8-g32"),
        ("int6", "int6-g256", "int8-g32"),
        ("ternary", "ternary", "int8-g32"),
        ("ternary-dense", "ternary-dense", "int8-g32"),
        ("binary", "ternary", "int8-g32"),
        ("float16", "float16", "float16"),
        ("float32", "float32", "float32"),
    ],
)
def test_a_recipe_names_the_format_of_every_matrix(text, body, embedding):
    recipe = parse(text)
    assert str(recipe.method(BODY).format) == body
    assert str(recipe.method(EMBEDDING).format) == embedding
    assert str(recipe.method("output.weight").format) == embedding


@pytest.mark.parametrize("name", PRESETS)
def test_a_recipe_is_called_what_it_was_asked_for(name):
    assert str(parse(name)) == name
    for group in PRESETS[name].groups[1:]:
        assert str(parse(name, group)) == f"{name}-g{group}"
        assert parse(name, group) == parse(f"{name}-g{group}")


def test_the_default_group_may_be_said():
    assert parse("int4-g32") == parse("int4", 32) == parse("int4") == parse("int4-g32", 32)


@pytest.mark.parametrize("text", ["", "int7", "INT4", "int4-64", "int4-g", "int4-g64-g64", "q4_0"])
def test_an_unknown_recipe_lists_the_choices(text):
    with pytest.raises(
        RecipeError, match="choose from keep, int8, int4, .*ternary, ternary-dense, binary, float16"
    ):
        parse(text)


@pytest.mark.parametrize(
    "text, group, message",
    [
        ("int4", 48, "group of 48: choose a group of 32, 64, 128"),
        ("int4-g0", None, "choose a group of 32, 64, 128"),
        ("int4", -1, "group of -1"),
        ("keep", 32, "'keep' with a group of 32: it has no groups"),
        ("float32-g64", None, "it has no groups"),
        ("int4-g64", 32, "say one of them"),
    ],
)
def test_a_group_that_there_is_not_is_refused(text, group, message):
    with pytest.raises(RecipeError, match=message):
        parse(text, group)


def test_every_recipe_is_described_in_a_sentence():
    assert list(RECIPES) == [*PRESETS, *ALIASES]
    assert all(text.endswith(".") and "\n" not in text for text in RECIPES.values())


def test_a_mix_of_8_4_and_2_bits_computes_what_its_file_means(tmp_path):
    quant = "int8,*.up=int4,*.down=int2"
    report = export(golden("llama3"), tmp_path / "x.edge", quant=quant, force=True)
    formats = {i.format for i in report.tensors if len(i.shape) == 2}
    assert formats == {"int8-g32", "int4-g32-offset", "int2-g256-offset"}
    expected = decoder_oracle.logits(tmp_path / "x.edge", np.arange(16))
    model = Model(EdgeFile(tmp_path / "x.edge"), threads=1, kv="float32", outputs=16)
    found = model.forward(list(range(16)), outputs=16).copy()
    model.close()
    # Activations are rounded to 127 steps of their group's largest: by some percent in two layers.
    assert np.sqrt(np.square(found - expected).mean()) < 0.05 * expected.std()


def test_attention_of_8_bits_lies_between_all_of_4_and_all_of_8(tmp_path):
    source, sizes, logits = golden("llama3"), [], []
    for quant in ("float32", "int8", "int4-attention8", "int4-search"):
        sizes.append(export(source, tmp_path / "x.edge", quant=quant).bytes)
        logits.append(decoder_oracle.logits(tmp_path / "x.edge", np.arange(16)))
    distances = [np.linalg.norm(found - logits[0]) for found in logits]
    assert sizes == sorted(sizes, reverse=True) and distances == sorted(distances)
