"""The registry of methods: ours, and those of packages that are installed beside edge."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.cli import main
from edge.errors import RecipeError
from edge.exporter import export, plugins, registry
from edge.exporter.language import describe, parse
from edge.format.reader import EdgeFile
from tests.exporter.decoder_oracle import matrix
from tests.exporter.memory_source import tiny_llama

QUERY, THEIR_QUERY = (
    "layers.0.attention.query.weight",
    "model.layers.0.self_attn.q_proj.weight",
)
CODE = '''
import numpy as np
from edge.exporter.registry import Entry

def halved(groups, form):
    """Half of the range: the largest weights are cut."""
    low, high = groups.min(axis=2) / 2, groups.max(axis=2) / 2
    return (high - low) / 15, low

def upward(groups, scales, offsets, form):
    steps = np.where(scales == 0, 1, scales)[:, :, None]
    codes = np.ceil((groups - offsets[:, :, None]) / steps)
    return np.clip(codes, 0, 15).astype(np.uint8)

def doubled(weights, recipe, layer, statistics):
    rows = len(weights.read(f"layers.{layer}.attention.query.weight"))
    weights.multiply(f"layers.{layer}.attention.query.weight", np.full(rows, 2, np.float32), None)

def wide(groups, form):
    return np.ones((1, 1)), np.ones((1, 1))

def beyond(groups, scales, offsets, form):
    return np.full(groups.shape, 16, np.uint8)

def lost(matrix, tensor, h):
    return tensor.codes

LOST = Entry("refinement", lost, "forgets the scales; needs --calib.", needs_data=True)
HALVED = Entry("scales", halved, "half of the range.", suits=("offset",))
UPWARD = Entry("rounding", upward, "rounds up.", suits=("offset",))
DOUBLED = Entry("transform", doubled, "doubles the query.", suits=("offset",))
WIDE = Entry("scales", wide, "the wrong shape.")
BEYOND = Entry("rounding", beyond, "codes that there are not.")
NUMBER = 5
LATER = Entry("transform", doubled, "comes at no time.", stage="later")
'''
ENTRIES = {
    "halved": "mini_methods:HALVED",
    "upward": "mini_methods:UPWARD",
    "doubled": "mini_methods:DOUBLED",
    "wide": "mini_methods:WIDE",
    "beyond": "mini_methods:BEYOND",
    "later": "mini_methods:LATER",
    "lost": "mini_methods:LOST",
    "number": "mini_methods:NUMBER",
    "missing": "mini_methods:NOT_THERE",
    "minmax": "mini_methods:HALVED",
    "g64": "mini_methods:HALVED",
}


def install(folder: Path, package: str, entries: dict[str, str]) -> None:
    """As pip leaves it: a module, and a dist-info folder beside it."""
    info = folder / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = [f"{name} = {target}" for name, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[edge.methods]", *lines]) + "\n")


@pytest.fixture
def mini(tmp_path, monkeypatch):
    """A package of methods on the path, good ones and broken ones."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "mini_methods.py").write_text(CODE)
    install(folder, "mini-methods", ENTRIES)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    plugins.load.cache_clear()
    yield folder
    sys.modules.pop("mini_methods", None)
    plugins.load.cache_clear()


def test_every_method_of_ours_is_of_the_kind_of_its_folder_and_has_a_sentence():
    for kind, folder in registry.KINDS.items():
        entries = getattr(importlib.import_module(f"edge.exporter.{folder}"), folder.upper())
        for name, entry in entries.items():
            assert entry.kind == kind and registry.NAME.fullmatch(name)
            assert entry.sentence.endswith(".") and set(entry.suits) <= {
                registry.OFFSET,
                registry.SYMMETRIC,
                registry.TERNARY,
                registry.CODEBOOK,
            }
            assert entry.needs_data == ("needs --calib" in entry.sentence)
    assert len(registry.own()) == sum(
        len(getattr(importlib.import_module(f"edge.exporter.{f}"), f.upper()))
        for f in registry.KINDS.values()
    )  # no name twice


def test_a_method_of_another_package_is_used_as_one_of_ours(mini, tmp_path):
    recipe = parse("int4:doubled+halved+upward")
    assert recipe.transforms == ("doubled",)
    assert (recipe.body.scales, recipe.body.rounding) == ("halved", "upward")
    source, output = tiny_llama(), tmp_path / "m.edge"
    export(source, output, quant="int4:doubled+halved+upward")
    stored = matrix(EdgeFile(output), QUERY)
    twice = 2 * source.tensors[THEIR_QUERY].reshape(len(stored), -1, 32)
    low, high = twice.min(axis=2, keepdims=True) / 2, twice.max(axis=2, keepdims=True) / 2
    steps = (high - low) / 15
    expected = np.clip(np.ceil((twice - low) / steps), 0, 15) * steps + low
    # Scales and offsets are float16: 2**-11 of each, of a value up to 15 steps; and where a weight
    # lies on a code, the next code.
    near = np.isclose(stored.reshape(expected.shape), expected, rtol=0, atol=2**-9 * high.max())
    assert near.mean() > 0.95
    assert str(parse(EdgeFile(output).document["recipe"])) == "int4:doubled+halved+upward"


def test_packages_are_not_looked_at_for_methods_of_ours(mini):
    parse("int4:awq+gptq,*.value=int8:mse")
    assert "mini_methods" not in sys.modules
    assert parse("int4:minmax").body.scales == "minmax"


def test_the_list_has_every_method_and_a_line_for_each_that_is_broken(mini, capsys):
    lines = describe()
    text = "\n".join(lines)
    assert "halved           half of the range." in lines
    assert "number" in text and "is int, expected an edge.exporter.registry.Entry" in text
    assert "method 'missing' of package mini-methods 1.2 cannot be loaded: AttributeError" in text
    assert "minmax           of another package is not used" in text
    assert "method 'g64' of package mini-methods 1.2: a name is of a-z" in text
    assert main(["export", "--quant", "list"]) == 0
    assert "half of the range." in capsys.readouterr().out


@pytest.mark.parametrize(
    "method, message",
    [
        ("number", "method 'number' of package mini-methods 1.2 is int, expected an edge.export"),
        ("missing", "method 'missing' of package mini-methods 1.2 cannot be loaded: Attribute"),
        ("later", "a transform's stage is one of model, layer, matrix, not 'later'"),
        ("halving", "no method 'halving'; choose from awq, .*, beyond, .*, wide, or gN"),
    ],
)
def test_a_broken_package_is_named_in_one_line_when_it_is_asked_for(mini, method, message):
    with pytest.raises(RecipeError, match=message) as error:
        parse(f"int4:{method}")
    assert "\n" not in str(error.value)


def test_a_method_is_refused_for_formats_that_it_does_not_suit(mini):
    with pytest.raises(RecipeError, match="no scales 'halved' for int8; choose from absmax"):
        parse("int8:halved")


def test_a_package_whose_import_fails_is_named(mini):
    (mini / "mini_methods.py").write_text("raise OSError('no\\nlibrary')")
    with pytest.raises(RecipeError, match="mini-methods 1.2 cannot be loaded: OSError: no library"):
        parse("int4:halved")


def test_two_packages_with_one_name_are_both_named(mini):
    install(mini, "others", {"halved": "mini_methods:WIDE"})
    importlib.invalidate_caches()
    with pytest.raises(RecipeError, match="mini-methods 1.2 and package others 1.2: one name"):
        parse("int4:halved")


@pytest.mark.parametrize(
    "method, message",
    [
        ("wide", r"'wide' .* gave scales or offsets of shape \[1, 1\], expected finite numbers of"),
        ("lost", r"'lost' .* gave ndarray, expected a tensor of int4-g32-offset"),
        ("beyond", r"'beyond' .* gave codes of uint8 \[64, 1, 32\], expected .* below 16"),
    ],
)
def test_what_a_package_returns_is_checked_before_it_is_stored(mini, method, message, tmp_path):
    with pytest.raises(RecipeError, match=message):
        ids = np.arange(16 * 24).reshape(16, 24) % 40
        export(tiny_llama(), tmp_path / "m.edge", quant=f"int4:{method}", calib=ids)
    assert not (tmp_path / "m.edge").exists()
