"""GGUF metadata becomes the config.json of the same model."""

from typing import Any

import numpy as np
import pytest

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.sources.gguf import GgufSource

EMBEDDING = {"token_embd.weight": (np.ones((8, 64), np.float32), "F32")}


@pytest.fixture
def config(write_gguf):
    """The configuration of a tiny model: config(architecture, keys, tensors)."""

    def of(architecture: str, keys: dict[str, Any] | None = None, tensors: Any = ()) -> Any:
        return GgufSource(write_gguf(architecture, keys or {}, EMBEDDING | dict(tensors))).config

    return of


def factors(*values: float) -> tuple[np.ndarray, str]:
    return np.array(values, np.float32), "F32"


def test_the_shape_of_a_llama(config):
    found = config("llama", {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2})

    assert found == {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 128,
        "vocab_size": 8,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def test_an_output_matrix_unties_the_embedding(config):
    output = {"output.weight": (np.ones((8, 64), np.float32), "F32")}

    assert config("qwen2", tensors=output)["tie_word_embeddings"] is False


def test_heads_may_be_wider_than_the_hidden_size_suggests(config):
    keys = {"{arch}.attention.key_length": 32, "{arch}.attention.value_length": 32}

    assert config("qwen3", keys)["head_dim"] == 32


def test_heads_without_a_count_of_keys_all_have_their_own(config):
    assert config("llama", {"{arch}.attention.head_count_kv": None})["num_key_value_heads"] == 4


def test_numbers_that_are_the_same_in_every_layer_are_one_number(config):
    assert config("llama", {"{arch}.feed_forward_length": [96, 96]})["intermediate_size"] == 96


@pytest.mark.parametrize(
    "keys, expected",
    [
        ({"type": "none", "factor": 4.0}, None),
        ({"type": "linear", "factor": 1.0}, None),
        ({"type": "linear", "factor": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        (
            {"type": "yarn", "factor": 4.0, "original_context_length": 32},
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        ),
        (
            {"type": "yarn", "factor": 4.0, "yarn_beta_fast": 16.0, "yarn_attn_factor": 1.5},
            {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 128,
                "attention_factor": 1.5,
                "beta_fast": 16.0,
            },
        ),
    ],
)
def test_rope_scaling(config, keys, expected):
    found = config("qwen2", {f"{{arch}}.rope.scaling.{k}": v for k, v in keys.items()})

    assert found["rope_scaling"] == expected


def test_an_old_name_of_linear_scaling(config):
    found = config("llama", {"{arch}.rope.scale_linear": 2.0})

    assert found["rope_scaling"] == {"rope_type": "linear", "factor": 2.0}


def test_mistral_s_yarn_multiplier_is_an_attention_factor(config):
    keys = {"type": "yarn", "factor": np.e**10, "yarn_log_multiplier": 1.0}

    found = config("llama", {f"{{arch}}.rope.scaling.{k}": v for k, v in keys.items()})

    assert found["rope_scaling"]["attention_factor"] == pytest.approx(1.0)


def test_llama3_frequency_factors_are_carried(config):
    found = config("llama", tensors={"rope_freqs.weight": factors(1, 1, 2, 4, 8, 8, 8, 8)})

    assert found["rope_frequency_factors"] == [1, 1, 2, 4, 8, 8, 8, 8]


def test_frequency_factors_of_one_are_nothing(config):
    found = config("llama", tensors={"rope_freqs.weight": factors(*[1] * 8)})

    assert "rope_frequency_factors" not in found


def test_phi3_longrope(config):
    keys = {
        "{arch}.rope.scaling.original_context_length": 32,
        "{arch}.rope.scaling.attn_factor": 1.25,
        "{arch}.rope.dimension_count": 8,
        "{arch}.attention.sliding_window": 64,
    }
    tensors = {
        "rope_factors_short.weight": factors(1, 1.5, 2, 2.5),
        "rope_factors_long.weight": factors(2, 4, 8, 16),
    }

    found = config("phi3", keys, tensors)

    assert found["rope_scaling"] == {
        "rope_type": "longrope",
        "short_factor": [1, 1.5, 2, 2.5],
        "long_factor": [2, 4, 8, 16],
        "original_max_position_embeddings": 32,
        "attention_factor": 1.25,
    }
    assert found["original_max_position_embeddings"] == 32
    assert found["partial_rotary_factor"] == 0.5
    assert found["sliding_window"] == 64


def test_gemma2_alternates_windows_and_caps_its_logits(config):
    found = config("gemma2", {"{arch}.block_count": 3, "{arch}.attention.key_length": 32})

    assert found["layer_types"] == ["sliding_attention", "full_attention", "sliding_attention"]
    assert found["sliding_window"] == 4096
    assert found["attn_logit_softcapping"] == 50
    assert found["final_logit_softcapping"] == 30
    assert found["query_pre_attn_scalar"] == 32
    assert found["hidden_activation"] == "gelu_pytorch_tanh"


def test_gemma3_sees_everything_in_each_sixth_layer(config):
    found = config("gemma3", {"{arch}.block_count": 7, "{arch}.attention.sliding_window": 512})

    kinds = ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"]
    assert found["layer_types"] == kinds
    assert found["rope_theta"] == 1e6 and found["rope_local_base_freq"] == 1e4
    assert found["attn_logit_softcapping"] is None
    assert found["model_type"] == "gemma3_text"


def test_gemma3_s_pattern_may_be_in_the_file(config):
    keys = {"{arch}.block_count": 2, "{arch}.attention.sliding_window": 512}
    pattern = {"{arch}.attention.sliding_window_pattern": [False, True]}

    found = config("gemma3", keys | pattern)

    assert found["layer_types"] == ["full_attention", "sliding_attention"]


def test_gemma3_without_a_window_sees_everything(config):
    assert config("gemma3", {"{arch}.block_count": 2})["layer_types"] == ["full_attention"] * 2


@pytest.mark.parametrize("architecture, layers", [("gemma2", 46), ("gemma3", 62)])
def test_gemma_27b_scales_queries_by_the_hidden_size(config, architecture, layers):
    keys = {"{arch}.block_count": layers, "{arch}.attention.key_length": 32}

    assert config(architecture, keys)["query_pre_attn_scalar"] == 64 // 4


@pytest.mark.parametrize(
    "architecture, activation",
    [("bitnet", "silu"), ("bitnet-b1.58", "relu2"), ("bitnet-25", "relu2")],
)
def test_bitnet_s_activation_is_in_its_name(config, architecture, activation):
    found = config(architecture)

    assert found["model_type"] == "bitnet" and found["hidden_act"] == activation


def test_an_architecture_that_edge_does_not_have_is_named(config):
    with pytest.raises(UnsupportedModel, match="architecture 'mamba'"):
        config("mamba")


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"{arch}.block_count": None}, "'llama.block_count' is missing"),
        ({"{arch}.block_count": "one"}, "expected 1..2"),
        ({"{arch}.block_count": 2**31 - 1}, "at most 1024 layers"),
        ({"{arch}.attention.head_count": 0}, "expected 1"),
        ({"{arch}.attention.layer_norm_rms_epsilon": float("nan")}, "finite"),
        ({"{arch}.attention.layer_norm_rms_epsilon": None}, "is missing"),
        ({"{arch}.rope.freq_base": "big"}, "expected float"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(config, keys, message):
    with pytest.raises(SourceError, match=message):
        config("llama", keys)


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"{arch}.expert_count": 8}, "mixture of 8 experts"),
        ({"{arch}.attention.head_count": [4, 8]}, "differs from layer to layer"),
        ({"{arch}.rope.scaling.type": "spiral", "{arch}.rope.scaling.factor": 2.0}, "'spiral'"),
        ({"{arch}.attention.value_length": 64}, "differ in size"),
    ],
)
def test_what_edge_cannot_run_is_named(config, keys, message):
    with pytest.raises(UnsupportedModel, match=message):
        config("llama", keys)


def test_a_file_without_an_embedding_is_a_vocabulary(write_gguf):
    norm = {"output_norm.weight": (np.ones(64, np.float32), "F32")}

    with pytest.raises(SourceError, match="token_embd.weight"):
        GgufSource(write_gguf("llama", {}, norm))


def test_factors_that_are_no_small_list_are_refused(config):
    matrix = {"rope_freqs.weight": (np.ones((2, 8), np.float32), "F32")}

    with pytest.raises(SourceError, match="at most 4096 F32 values"):
        config("llama", tensors=matrix)
