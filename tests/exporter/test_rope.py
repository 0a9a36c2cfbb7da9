"""RoPE parameters as transformers reads them."""

import math

import pytest

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.architectures import lower
from edge.exporter.architectures.keys import Keys
from edge.exporter.architectures.rope import rope
from edge.format.config import Rope
from tests.exporter.memory_source import golden, tiny_llama

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


def rope_of(scaling=None, head_dim=32, **keys):
    config = {"max_position_embeddings": 256, "rope_theta": 1e4, "rope_scaling": scaling}
    return rope(Keys(config | keys, "test"), head_dim)


def test_a_model_without_scaling_has_the_default():
    assert rope_of() == Rope(1e4, 32)
    assert rope(Keys({"max_position_embeddings": 8}, "test"), 16) == Rope(1e4, 16)


def test_llama_3_scales_by_wavelength():
    expected = Rope(5e5, 32, "llama3", 8.0, original_context=40, low_freq=1.0, high_freq=4.0)
    assert lower(golden("llama3")).config.ropes == (expected,)


def test_linear_and_dynamic_have_a_factor():
    assert lower(golden("rope_linear")).config.ropes == (Rope(1e4, 32, "linear", 4.0),)
    dynamic = Rope(1e4, 32, "dynamic", 4.0, original_context=32)
    assert lower(golden("rope_dynamic")).config.ropes == (dynamic,)


def test_dynamic_goes_by_the_context_of_the_config():
    scaling = {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 64}
    assert rope_of(scaling, original_max_position_embeddings=64).original_context == 256


def test_gemma_3_scales_its_global_layers_only():
    config = lower(golden("gemma3_text")).config
    assert config.ropes == (Rope(1e6, 16, "linear", 8.0), Rope(1e4, 16))
    assert config.layer_rope == (1, 1, 0, 1)


def test_gemma_3_has_its_own_thetas_where_the_config_is_silent():
    source = golden("gemma3_text")
    del source.config["rope_theta"], source.config["rope_local_base_freq"]
    assert [r.base for r in lower(source).config.ropes] == [1e6, 1e4]


def test_phi_4_turns_three_quarters_of_a_head():
    (found,) = lower(golden("phi4_mini")).config.ropes
    assert (found.kind, found.dims, found.original_context) == ("longrope", 24, 32)
    assert len(found.short_factors) == len(found.long_factors) == 12
    assert found.attention_factor == math.sqrt(1 + math.log(4) / math.log(32))


@pytest.mark.parametrize("old", ["su", "yarn"])
def test_old_names_of_longrope_are_known_in_phi_3(old):
    source = golden("phi3_longrope")
    source.config["rope_scaling"]["type"] = old
    assert lower(source) == lower(golden("phi3_longrope"))


def test_the_trained_context_outside_the_scaling_wins():
    assert rope_of(YARN, original_max_position_embeddings=32).original_context == 32


@pytest.mark.parametrize(
    "extra, factor",
    [
        ({}, 0.1 * math.log(4) + 1),
        ({"attention_factor": 0.5}, 0.5),
        ({"mscale": 2.0, "mscale_all_dim": 1.0}, (0.2 * math.log(4) + 1) / (0.1 * math.log(4) + 1)),
        ({"mscale": 2.0, "mscale_all_dim": 0.0}, 0.1 * math.log(4) + 1),
        ({"factor": 0.5}, 1.0),
    ],
)
def test_yarn_scales_attention(extra, factor):
    assert rope_of(YARN | extra).attention_factor == pytest.approx(factor, rel=1e-12)


def test_yarn_without_a_factor_spans_the_context():
    found = rope_of(YARN | {"factor": None})
    assert (found.factor, found.beta_fast, found.beta_slow) == (4.0, 32.0, 1.0)
    assert found.truncate and not rope_of(YARN | {"truncate": False}).truncate


def test_frequency_factors_of_gguf_divide_each_frequency():
    factors = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    (found,) = lower(tiny_llama(rope_frequency_factors=factors)).config.ropes
    assert found.kind == "longrope"
    assert found.short_factors == found.long_factors == tuple(factors)
    assert found.attention_factor == 1.0


@pytest.mark.parametrize("heads", [45, 46, 47])
def test_a_rotated_part_given_as_a_quotient_is_whole_again(heads):
    for dims in range(2, heads, 2):
        assert rope_of(head_dim=heads, partial_rotary_factor=dims / heads).dims == dims


@pytest.mark.parametrize(
    "scaling, message",
    [
        ({"rope_type": "linear"}, "no key 'factor'"),
        ({"rope_type": "linear", "factor": 0}, "'factor': expected a number above 0"),
        ({"rope_type": "linear", "factor": "8"}, "'factor': expected a finite number"),
        (
            {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]},
            "'short_factor': expected 16 numbers above 0, found 1",
        ),
        ({"partial_rotary_factor": 0.41}, "RoPE over 13 of 32 elements"),
        ({"partial_rotary_factor": 2.0}, "RoPE over 64 of 32 elements"),
    ],
)
def test_broken_scaling_is_refused(scaling, message):
    with pytest.raises(SourceError, match=message):
        rope_of(scaling)


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(UnsupportedModel, match="'proportional'; edge has default, linear"):
        rope_of({"rope_type": "proportional"})
