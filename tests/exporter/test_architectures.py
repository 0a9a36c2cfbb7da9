"""Every family's config.json and tensor names become ours."""

from dataclasses import replace

import numpy as np
import pytest

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.architectures import ARCHITECTURES, lower
from edge.format.config import ACTIVATIONS
from tests.exporter.memory_source import GOLDENS, golden, tiny_llama

LAYER_0 = "model.layers.0."


def tensors_of(source):
    return {tensor.name: tensor for tensor in lower(source).tensors}


@pytest.mark.parametrize("name", GOLDENS)
def test_old_and_new_configurations_lower_to_the_same_decoder(name):
    assert lower(golden(name, "config.json")) == lower(golden(name, "config_v5.json"))


@pytest.mark.parametrize("name", GOLDENS)
def test_every_tensor_of_a_checkpoint_has_a_place(name):
    source = golden(name)
    placed = {tensor.source for tensor in lower(source).tensors}
    assert placed == set(source.names())


@pytest.mark.parametrize("name", GOLDENS)
def test_every_weight_of_a_checkpoint_is_placed_once(name):
    source = golden(name)
    assert lower(source).parameters == sum(t.size for t in source.tensors.values())


def test_the_goldens_cover_every_family():
    families = {golden(name).config["model_type"] for name in GOLDENS}
    assert families == ARCHITECTURES.keys() - {"gemma3"}  # its text model is gemma3_text


def test_a_layer_of_llama_has_these_tensors_in_the_order_of_a_decode():
    names = [tensor.name for tensor in lower(golden("llama2")).tensors]
    first_layer = [
        "layers.0.attention_norm.weight",
        "layers.0.attention.query.weight",
        "layers.0.attention.key.weight",
        "layers.0.attention.value.weight",
        "layers.0.attention.output.weight",
        "layers.0.feed_forward_norm.weight",
        "layers.0.feed_forward.gate.weight",
        "layers.0.feed_forward.up.weight",
        "layers.0.feed_forward.down.weight",
    ]
    assert names[:10] == ["embedding.weight", *first_layer]
    assert names[-2:] == ["output_norm.weight", "output.weight"]


def test_gemma_and_bitnet_have_their_own_norms():
    gemma, bitnet = tensors_of(golden("gemma3_text")), tensors_of(golden("bitnet"))
    for norm in ("attention_post_norm", "feed_forward_post_norm", "attention.query_norm"):
        assert f"layers.3.{norm}.weight" in gemma
    for norm in ("attention.sub_norm", "feed_forward.sub_norm"):
        assert f"layers.1.{norm}.weight" in bitnet


def test_a_tied_embedding_comes_last_where_it_is_read_whole():
    lowered = lower(golden("smollm2"))
    assert lowered.config.tied_embedding
    assert lowered.tensors[-1].name == "embedding.weight"


def test_a_stored_output_matrix_of_a_tied_model_is_left_out():
    source = tiny_llama()
    source.tensors["lm_head.weight"] = source.tensors["model.embed_tokens.weight"]
    assert "output.weight" not in tensors_of(source)


@pytest.mark.parametrize("stored", [True, False])
def test_a_silent_configuration_is_tied_if_there_is_no_output_matrix(stored):
    source = tiny_llama()
    del source.config["tie_word_embeddings"]
    if stored:
        source.tensors["lm_head.weight"] = source.tensors["model.embed_tokens.weight"]
    assert lower(source).config.tied_embedding is not stored


def test_an_untied_model_must_have_its_output_matrix():
    with pytest.raises(SourceError, match="'lm_head.weight' is missing"):
        lower(tiny_llama(tie_word_embeddings=False))


@pytest.mark.parametrize(
    "name, windows",
    [
        ("llama2", (0, 0)),
        ("mistral", (13, 13)),
        ("qwen2", (0, 17, 17)),
        ("qwen3", (0, 0)),
        ("gemma2", (13, 0, 13)),
        ("gemma3_text", (13, 13, 0, 13)),
        ("phi3", (19, 19)),
    ],
)
def test_windows_are_where_the_family_has_them(name, windows):
    assert lower(golden(name)).config.layer_window == windows


def test_a_mistral_without_a_window_says_null():
    source = golden("mistral")
    source.config["sliding_window"] = None
    assert lower(source).config.layer_window == (0, 0)
    del source.config["sliding_window"]
    assert lower(source).config.layer_window == (4096, 4096)


def test_gemma_scales_and_caps():
    two, three = lower(golden("gemma2")).config, lower(golden("gemma3_text")).config
    assert two.embedding_scale == 8.0
    assert two.attention_scale == 20**-0.5
    assert (two.attention_softcap, two.logits_softcap) == (3.0, 5.0)
    assert (three.attention_softcap, three.logits_softcap) == (0.0, 0.0)
    assert three.qk_norm and three.post_norms and two.post_norms and not two.qk_norm


def test_activations_are_ours():
    assert {lower(golden(name)).config.activation for name in GOLDENS} == set(ACTIVATIONS)


def test_missing_keys_mean_what_transformers_takes_for_them():
    source = golden("bitnet")
    for key in ("rope_theta", "hidden_act"):
        del source.config[key]
    assert lower(source).config == lower(golden("bitnet")).config
    source = tiny_llama()
    del source.config["head_dim"], source.config["num_key_value_heads"]
    source.config |= {"hidden_size": 32, "num_attention_heads": 2}
    with pytest.raises(SourceError, match=r"k_proj.weight' has shape \[32, 32\]|q_proj"):
        lower(source)  # 2 heads of 16 each, by the config; 64 rows in the file


def test_a_null_number_of_key_heads_means_all_heads():
    source = golden("llama2")
    source.config["num_key_value_heads"] = None
    assert lower(source).config.kv_heads == 4


def test_the_text_model_of_a_multimodal_checkpoint_is_found():
    plain = golden("gemma3_text")
    text = {k: v for k, v in plain.config.items() if k != "tie_word_embeddings"}
    nested = golden("gemma3_text")
    nested.config = {"model_type": "gemma3", "text_config": text, "vision_config": {}}
    nested.tensors = {"language_model." + n: t for n, t in plain.tensors.items()}
    nested.tensors["vision_tower.patch.weight"] = np.zeros((2, 2))
    lowered = lower(nested)
    assert replace(lowered.config, architecture="gemma3_text") == lower(plain).config
    assert lowered.notes == ("text only: 1 tensors of the vision part are left out",)


def test_two_names_of_one_tensor_are_refused():
    source = golden("gemma3_text")
    source.tensors["language_model.model.norm.weight"] = source.tensors["model.norm.weight"]
    with pytest.raises(SourceError, match="are both 'model.norm.weight'"):
        lower(source)


def test_an_unknown_family_is_refused_with_those_known():
    with pytest.raises(UnsupportedModel, match="'mixtral'; edge has llama, mistral, qwen2"):
        lower(tiny_llama(model_type="mixtral"))


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("hidden_size", None, "no key 'hidden_size'"),
        ("hidden_size", "32", "'hidden_size': expected a whole number, found '32'"),
        ("num_hidden_layers", True, "'num_hidden_layers': expected a whole number"),
        ("num_hidden_layers", 10**6, "'num_hidden_layers': expected .* from 1 to 1024"),
        ("rms_norm_eps", float("nan"), "'rms_norm_eps': expected a finite number"),
        ("num_attention_heads", 0, "'num_attention_heads': expected .* from 1"),
        ("num_key_value_heads", 3, "heads a multiple of kv_heads|k_proj"),
        ("rope_scaling", [], "'rope_scaling': expected an object"),
        ("vocab_size", 41, r"'model.embed_tokens.weight' has shape \[40, 32\].*\[41, 32\]"),
        ("tie_word_embeddings", 1, "'tie_word_embeddings': expected true or false"),
    ],
)
def test_a_broken_configuration_is_refused_by_the_name_of_the_key(key, value, message):
    with pytest.raises(SourceError, match=message):
        lower(tiny_llama(**{key: value}))


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu"])
def test_an_activation_we_lack_is_refused(name):
    with pytest.raises(UnsupportedModel, match=f"activation '{name}'"):
        lower(tiny_llama(hidden_act=name))


def test_a_layer_type_we_lack_is_refused():
    source = golden("gemma2")
    source.config["layer_types"] = ["full_attention", "chunked_attention", "full_attention"]
    with pytest.raises(UnsupportedModel, match="chunked_attention"):
        lower(source)


def test_a_missing_tensor_is_named():
    source = golden("phi3")
    del source.tensors["model.layers.1.mlp.gate_up_proj.weight"]
    with pytest.raises(SourceError, match="layers.1.mlp.gate_up_proj.weight' is missing"):
        lower(source)


@pytest.mark.parametrize(
    "name",
    [
        LAYER_0 + "self_attn.q_norm.weight",
        LAYER_0 + "input_layernorm.bias",
        "model.layers.1.mlp.up_proj.weight",
        "lm_head.bias",
        "score",
    ],
)
def test_a_tensor_that_nobody_expects_is_refused(name):
    source = tiny_llama()
    source.tensors[name] = np.zeros(16)
    with pytest.raises(UnsupportedModel, match=f"'{name}' has no place in a llama"):
        lower(source)


def test_stored_frequencies_of_rope_are_not_weights():
    source = tiny_llama()
    source.tensors[LAYER_0 + "self_attn.rotary_emb.inv_freq"] = np.zeros(8)
    assert lower(source) == lower(tiny_llama())


def test_a_bias_that_the_configuration_promises_must_be_there():
    with pytest.raises(SourceError, match="q_proj.bias' is missing"):
        lower(tiny_llama(attention_bias=True))
    source = golden("qwen2")
    del source.tensors[LAYER_0 + "self_attn.v_proj.bias"]
    with pytest.raises(SourceError, match="v_proj.bias' is missing"):
        lower(source)


def test_a_norm_over_heads_that_would_be_padded_is_refused():
    source = golden("qwen3")
    source.config["head_dim"] = 8
    with pytest.raises(UnsupportedModel, match="norms over heads of 8 elements"):
        lower(source)
