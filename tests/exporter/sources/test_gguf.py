"""GGUF as a source: Hugging Face's names, row order and values."""

import hashlib
import struct

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from edge.errors import SourceError, UnsupportedModel
from edge.exporter.sources import open_source
from edge.exporter.sources.gguf import GgufSource
from edge.format.formats import WeightFormat

rng = np.random.default_rng(0)
EMBEDDING = {"token_embd.weight": (rng.normal(size=(8, 64)).astype(np.float32), "F32")}


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to queries and keys (conversion/llama.py, permute)."""
    pairs = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weights.shape)


def quantized(values: np.ndarray, kind: str) -> np.ndarray:
    return quants.quantize(values, GGMLQuantizationType[kind])


def one(shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    return np.ones(shape, np.float32), "F32"


@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q8_0"])
def test_llama_queries_and_keys_come_back_in_half_split_order(write_gguf, kind):
    q = rng.normal(size=(64, 64)).astype(np.float32)
    k = rng.normal(size=(32, 64)).astype(np.float32)
    bias = rng.normal(size=64).astype(np.float32)
    stored = {
        "blk.0.attn_q.weight": (quantized(permuted(q, 4), kind), kind),
        "blk.0.attn_k.weight": (quantized(permuted(k, 2), kind), kind),
        "blk.0.attn_q.bias": (permuted(bias, 4), "F32"),
        "blk.0.attn_v.weight": (quantized(k, kind), kind),
    }

    source = GgufSource(write_gguf("llama", {}, EMBEDDING | stored))

    def exact(values: np.ndarray) -> np.ndarray:
        return quants.dequantize(quantized(values, kind), GGMLQuantizationType[kind])

    name = "model.layers.0.self_attn."
    assert (source.read(name + "q_proj.weight") == exact(q)).all()
    assert (source.read(name + "k_proj.weight") == exact(k)).all()
    assert (source.read(name + "v_proj.weight") == exact(k)).all()
    assert (source.read(name + "q_proj.bias") == bias).all()
    if (kept := source.kept(name + "q_proj.weight")) is not None:
        assert (kept.dequantize() == exact(q)).all()


@pytest.mark.parametrize("architecture", ["qwen2", "bitnet"])
def test_other_architectures_keep_their_rows(write_gguf, architecture):
    q = rng.normal(size=(64, 64)).astype(np.float32)

    source = GgufSource(
        write_gguf(architecture, {}, EMBEDDING | {"blk.0.attn_q.weight": (q, "F32")})
    )

    assert (source.read("model.layers.0.self_attn.q_proj.weight") == q).all()


FAMILIES = {
    "qwen3": {
        "blk.0.attn_q_norm.weight": "model.layers.0.self_attn.q_norm.weight",
        "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
    },
    "gemma2": {
        "blk.0.attn_norm.weight": "model.layers.0.input_layernorm.weight",
        "blk.0.post_attention_norm.weight": "model.layers.0.post_attention_layernorm.weight",
        "blk.0.ffn_norm.weight": "model.layers.0.pre_feedforward_layernorm.weight",
        "blk.0.post_ffw_norm.weight": "model.layers.0.post_feedforward_layernorm.weight",
    },
    "gemma3": {
        "blk.0.attn_k_norm.weight": "model.layers.0.self_attn.k_norm.weight",
        "blk.0.post_ffw_norm.weight": "model.layers.0.post_feedforward_layernorm.weight",
    },
    "phi3": {
        "blk.0.attn_qkv.weight": "model.layers.0.self_attn.qkv_proj.weight",
        "blk.0.ffn_up.weight": "model.layers.0.mlp.gate_up_proj.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
    },
    "bitnet-b1.58": {
        "blk.0.attn_sub_norm.weight": "model.layers.0.self_attn.attn_sub_norm.weight",
        "blk.0.ffn_sub_norm.weight": "model.layers.0.mlp.ffn_sub_norm.weight",
    },
}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_tensors_have_the_names_of_the_checkpoint(write_gguf, architecture):
    names = FAMILIES[architecture]
    tensors = {name: one((64,)) for name in names}

    source = GgufSource(write_gguf(architecture, {}, EMBEDDING | tensors))

    assert list(source.names()) == ["model.embed_tokens.weight", *names.values()]


def test_tensors_that_hold_configuration_are_not_weights(write_gguf):
    tensors = {
        "rope_freqs.weight": one((8,)),
        "blk.0.attn_rot_embd.weight": one((8,)),
        "output.weight": one((8, 64)),
    }

    source = GgufSource(write_gguf("llama", {}, EMBEDDING | tensors))

    assert list(source.names()) == ["model.embed_tokens.weight", "lm_head.weight"]


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_exps.weight", "blk.0.attn_q.scale", "cls.weight"])
def test_a_tensor_that_edge_does_not_know_is_named(write_gguf, name):
    path = write_gguf("llama", {}, EMBEDDING | {name: one((8,))})

    with pytest.raises(UnsupportedModel, match=f"no tensor '{name}' in a llama model"):
        GgufSource(path)


def test_rows_that_are_no_heads_of_pairs_are_refused(write_gguf):
    path = write_gguf("llama", {}, EMBEDDING | {"blk.0.attn_q.weight": one((62, 64))})
    source = GgufSource(path)

    with pytest.raises(SourceError, match="62 rows are not 4 heads of pairs"):
        source.read("model.layers.0.self_attn.q_proj.weight")


def test_an_absent_tensor_is_named(write_gguf):
    source = GgufSource(write_gguf("llama", {}, EMBEDDING))

    with pytest.raises(SourceError, match="no tensor for 'lm_head.weight'"):
        source.read("lm_head.weight")


def test_the_digest_is_the_file_s_sha256(write_gguf):
    path = write_gguf("llama", {}, EMBEDDING)

    assert GgufSource(path).digest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_bitnet_cpp_s_i2_s_is_kept_as_ternary(write_gguf):
    """gguf-py cannot write the type: bytes are written as I8, then the entry is changed."""
    codes = rng.integers(0, 3, (17, 128), np.uint8)
    runs = codes.reshape(-1, 4, 32)
    packed = runs[:, 0] << 6 | runs[:, 1] << 4 | runs[:, 2] << 2 | runs[:, 3]
    scale = np.array([0.5] + [0] * 7, np.float32).view(np.int8)
    data = np.concatenate([packed.reshape(-1).view(np.int8), scale]).reshape(1, -1)
    path = write_gguf("bitnet-b1.58", {}, EMBEDDING | {"blk.0.attn_q.weight": (data, "I8")})
    name, i2_s = b"blk.0.attn_q.weight" + struct.pack("<I", 2), 36
    as_i8 = name + struct.pack("<QQI", data.size, 1, 24)
    as_i2_s = name + struct.pack("<QQI", 128, 17, i2_s)
    path.write_bytes(path.read_bytes().replace(as_i8, as_i2_s))

    kept = GgufSource(path).kept("model.layers.0.self_attn.q_proj.weight")

    assert kept is not None and kept.format == WeightFormat("ternary")
    assert (kept.codes == codes).all() and (kept.scales == 0.5).all()


SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_smollm2_has_the_names_and_shapes_of_its_family(test_data):
    source = open_source(test_data(SMOLLM2))

    assert len(list(source.names())) == 272
    assert source.shape("model.embed_tokens.weight") == (49152, 576)
    assert source.shape("model.layers.29.self_attn.k_proj.weight") == (192, 576)
    assert source.shape("model.layers.0.mlp.down_proj.weight") == (576, 1536)
    assert source.shape("model.norm.weight") == (576,)


def test_smollm2_keeps_its_grids(test_data):
    source = open_source(test_data(SMOLLM2))
    formats = {
        "model.embed_tokens.weight": WeightFormat("int8", 32),
        "model.layers.3.self_attn.q_proj.weight": WeightFormat("int4", 32, offset=True),
        "model.layers.29.mlp.down_proj.weight": WeightFormat("int4", 32, offset=True),
    }
    for name, format_ in formats.items():
        kept = source.kept(name)
        assert kept is not None and kept.format == format_
        assert (kept.dequantize() == source.read(name)).all()


def test_smollm2_s_configuration_is_that_of_its_checkpoint(test_data):
    config = open_source(test_data(SMOLLM2)).config

    expected = {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-05,
        "rope_theta": 100000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    assert {key: config[key] for key in expected} == expected
