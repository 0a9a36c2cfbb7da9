"""The language of recipes: what they compose, and what they refuse."""

import pytest

from edge.errors import RecipeError
from edge.exporter.language import parse
from edge.exporter.recipe import ALIASES

QUERY, VALUE = "layers.0.attention.query.weight", "layers.0.attention.value.weight"


@pytest.mark.parametrize(
    "text, form, scales, rounding, transforms",
    [
        ("int4:hqq", "int4-g32-offset", "hqq", "rtn", ()),
        ("int4-g64:hqq", "int4-g64-offset", "hqq", "rtn", ()),
        ("int4:g64:hqq", "int4-g64-offset", "hqq", "rtn", ()),
        ("int4:signed_absmax", "int4-g32", "signed_absmax", "rtn", ()),
        ("int4:stochastic", "int4-g32-offset", "minmax", "stochastic", ()),
        ("int8:mse", "int8-g32", "mse", "rtn", ()),
        ("w4a8kv8:awq+gptq:g32", "int4-g32-offset", "minmax", "gptq", ("awq",)),
        ("w8", "int8-g32", "least_squares", "rtn", ()),
        ("w3", "int3-g256", "mse", "rtn", ()),
        ("w2:awq+gptq", "int2-g256-offset", "mse", "gptq", ("awq",)),
        ("w5kv8", "int5-g256-offset", "mse", "rtn", ()),
        ("w6:least_squares", "int6-g256", "least_squares", "rtn", ()),
        ("int4-g256:awq+gptq", "int4-g256-offset", "minmax", "gptq", ("awq",)),
        ("int5:g32:hqq", "int5-g32-offset", "hqq", "rtn", ()),
        ("int4:equalize+awq+clip+gptq", "int4-g32-offset", "clip", "gptq", ("equalize", "awq")),
    ],
)
def test_a_recipe_composes_its_parts(text, form, scales, rounding, transforms):
    recipe = parse(text)
    body = recipe.method(QUERY)
    assert (str(body.format), body.scales, body.rounding) == (form, scales, rounding)
    assert recipe.transforms == transforms


def test_methods_of_a_ternary_recipe_are_for_matrices_that_are_not_ternary():
    recipe = parse("ternary:twn")
    assert recipe.inexact.scales == "twn" and recipe.method(QUERY).scales == "absmax"


def test_bits_of_the_cache_are_what_the_file_recommends():
    assert parse("w4a8kv8").kv == "int8" and parse("w4kv4").kv == "int4"
    assert parse("w4").kv is None and parse("int4").kv is None


@pytest.mark.parametrize(
    "text",
    [
        "int4-g64:awq+gptq",
        "w4a8kv8:hqq",
        "w4a16",
        "w8a16kv8:g64",
        "w8a8t:g0:mse",
        "w3a16:gptq",
        "int4,*.value=int8",
        *ALIASES,
    ],
)
def test_a_recipe_can_be_parsed_again_from_its_name(text):
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


def test_a_short_name_may_have_a_group():
    assert str(parse("int4-search", 64)) == "int4-g64:mse"


def test_a_recipe_is_a_short_line():
    for text in ("int4" + ",*.value=int8" * 100, "int4\n"):
        with pytest.raises(RecipeError, match="a line of at most 1000 characters"):
            parse(text)


def test_the_first_rule_that_fits_goes_before_the_rest():
    recipe = parse("int4:gptq,*.value=int8-g64,layers.0.*=float16,embedding=int4:hqq")
    assert str(recipe.method(VALUE).format) == "int8-g64"
    assert str(recipe.method(QUERY).format) == "float16"
    assert str(recipe.method("layers.1.attention.query.weight").format) == "int4-g32-offset"
    assert recipe.method("embedding.weight").scales == "hqq"


@pytest.mark.parametrize(
    "text, needs",
    [
        ("int4:mse", False),
        ("int4:equalize", False),
        ("int4:awq", True),
        ("int4:gptq", True),
        ("int4:clip", True),
        ("int8,*.down=int4:gptq", True),
    ],
)
def test_it_is_known_which_recipes_need_data(text, needs):
    assert parse(text).needs_data is needs


@pytest.mark.parametrize(
    "text, message",
    [
        ("int4:awg", "no method 'awg'; choose from awq, awq_each, smooth"),
        ("int4:", "no method ''; choose from awq"),
        ("int8:hqq", "no scales 'hqq' for int8; choose from absmax, least_squares, percentile"),
        ("int4:twn", "no scales 'twn' for int4; choose from minmax, hqq"),
        ("ternary:kl", "no scales 'kl' for ternary; choose from absmax, absmean, twn"),
        ("keep:hqq", "'keep' leaves weights as they are"),
        ("float16:mse", "'float16' leaves weights as they are"),
        ("w7a8", "weights of 7 bits; choose from w2, w3, w4, w5, w6, w8, w16, w32"),
        ("int4-g256:absmax", "'absmax' have no offset, but int4-g256-offset has one"),
        ("mixed:5:absmax", "mixed has offsets; leave out 'absmax'"),
        ("w4a4", "a4, but w4 computes with a8, a8t, a8s or a16, floats: say one"),
        ("w4a16t", "a16t, but w4 computes with a8, a8t, a8s or a16, floats: say one"),
        ("w16a8", "w16 computes with 32-bit floats"),
        ("w16a16", "w16 computes with 32-bit floats"),
        ("w8a16:g0:outliers", "'outliers' are kept from being rounded, and a16 rounds nothing"),
        ("w4kv3", "KV cache of 3 bits; choose kv4"),
        ("int4,value", "rule 'value', expected NAME=RECIPE"),
        ("int4,*.value=int9", "no recipe 'int9'"),
        ("int4,*.value=keep", "rule '[*].value=keep': a matrix is stored as"),
        ("int4-g64:g32", "say one of them"),
        ("int4:g48", "choose a group of 32, 64, 128"),
        ("int4:mse+awq+hqq", "'mse' and 'hqq' both choose the scales; name one"),
        ("int4:gptq+rtn", "'gptq' and 'rtn' both choose the rounding"),
        ("ternary:awq", "'ternary' leaves weights as they are; 'awq' cannot help"),
        ("ternary:gptq", "'ternary' leaves weights as they are; 'gptq' cannot help"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(text, message):
    with pytest.raises(RecipeError, match=message) as error:
        parse(text)
    assert "\n" not in str(error.value)
