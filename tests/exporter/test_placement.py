"""Tensors on their way from a checkpoint: split, padded, offset; kept grids too."""

from dataclasses import replace

import numpy as np
import pytest

from edge.exporter.architectures import lower
from edge.format.formats import CODES, QuantizedTensor, WeightFormat
from tests.exporter.memory_source import golden, tiny_llama
from tests.format.small_file import multipliers

ATTENTION = "layers.0.attention."
THEIRS = "model.layers.0.self_attn."


def read_all(source):
    return {tensor.name: tensor.read(source) for tensor in lower(source).tensors}


def on_grid(form: WeightFormat, shape: tuple[int, int]) -> QuantizedTensor:
    rng = np.random.default_rng(3)
    rows, columns = shape
    groups = -(-columns // form.group) if form.group else 1
    codes = rng.integers(0, CODES[form.kind].levels, shape).astype(np.uint8)
    scales = rng.uniform(0.5, 2, (rows, groups)).astype(np.float16).astype(np.float32)
    offsets = scales - 1 if form.offset else None
    return QuantizedTensor(form, codes, scales, offsets, *multipliers(form, rows, columns, rng))


def quantized_llama(form: WeightFormat, head_dim: int):
    """A tiny Llama whose attention is on a grid."""
    source = tiny_llama(head_dim)
    for name in [n for n in source.tensors if ".self_attn." in n]:
        source.on_grid[name] = on_grid(form, source.tensors.pop(name).shape)
    return source


def test_phi_3_splits_into_what_was_fused():
    source = golden("phi3")
    ours, heads = read_all(source), ("query", "key", "value")
    fused = np.concatenate([ours[f"layers.1.attention.{part}.weight"] for part in heads])
    np.testing.assert_array_equal(fused, source.tensors["model.layers.1.self_attn.qkv_proj.weight"])
    assert len(ours["layers.1.attention.query.weight"]) == 64
    fused = np.concatenate([ours[f"layers.1.feed_forward.{p}.weight"] for p in ("gate", "up")])
    np.testing.assert_array_equal(fused, source.tensors["model.layers.1.mlp.gate_up_proj.weight"])


def test_quantized_tensors_are_split_with_their_scales():
    source = golden("phi3")
    name = "model.layers.0.mlp.gate_up_proj.weight"
    whole = on_grid(WeightFormat("int4", 32, True), source.tensors.pop(name).shape)
    source.on_grid[name] = whole
    parts = {t.name: t.kept(source) for t in lower(source).tensors if t.source == name}
    both = [parts[f"layers.0.feed_forward.{part}.weight"] for part in ("gate", "up")]
    joined = np.concatenate([part.dequantize() for part in both])
    np.testing.assert_array_equal(joined, whole.dequantize())


def test_gemma_norms_gain_one_and_nothing_else_does():
    source = golden("gemma3_text")
    ours = read_all(source)
    for theirs, name in [
        ("model.norm", "output_norm"),
        ("model.layers.2.self_attn.q_norm", "layers.2.attention.query_norm"),
        ("model.layers.2.post_attention_layernorm", "layers.2.attention_post_norm"),
    ]:
        gain = source.tensors[theirs + ".weight"].astype(np.float32) + 1
        np.testing.assert_array_equal(ours[name + ".weight"], gain)
    up = source.tensors["model.layers.2.mlp.up_proj.weight"]
    np.testing.assert_array_equal(ours["layers.2.feed_forward.up.weight"], up)


def test_norms_that_the_source_has_folded_stay():
    source = replace(golden("gemma2"), norms_are_folded=True)
    norm = read_all(source)["output_norm.weight"]
    np.testing.assert_array_equal(norm, source.tensors["model.norm.weight"])


def test_other_norms_stay():
    source = golden("llama2")
    norm = read_all(source)["output_norm.weight"]
    np.testing.assert_array_equal(norm, source.tensors["model.norm.weight"])


def test_short_heads_get_zeros_behind_their_rows_and_columns():
    source = tiny_llama(head_dim=8)
    lowered, ours = lower(source), read_all(source)
    for part, letter, heads in [("query", "q", 4), ("key", "k", 2), ("value", "v", 2)]:
        padded = ours[f"{ATTENTION}{part}.weight"].reshape(heads, 16, 32)
        stored = source.tensors[f"{THEIRS}{letter}_proj.weight"].reshape(heads, 8, 32)
        np.testing.assert_array_equal(padded[:, :8], stored)
        assert not padded[:, 8:].any()
    padded = ours[ATTENTION + "output.weight"].reshape(32, 4, 16)
    stored = source.tensors[THEIRS + "o_proj.weight"].reshape(32, 4, 8)
    np.testing.assert_array_equal(padded[:, :, :8], stored)
    assert not padded[:, :, 8:].any()
    for tensor in lowered.tensors:
        assert tensor.stored_shape == ours[tensor.name].shape


def test_short_heads_keep_their_own_rope_and_scale():
    config = lower(tiny_llama(head_dim=8)).config
    assert (config.head_dim, config.ropes[0].dims) == (16, 8)
    assert config.attention_scale == 8**-0.5


def test_short_heads_pad_biases_of_q_k_v_only():
    source = tiny_llama(head_dim=8, attention_bias=True)
    for letter, rows in [("q", 32), ("k", 16), ("v", 16), ("o", 32)]:
        source.tensors[f"{THEIRS}{letter}_proj.bias"] = np.ones(rows, np.float32)
    ours = read_all(source)
    np.testing.assert_array_equal(ours[ATTENTION + "query.bias"], np.tile([1] * 8 + [0] * 8, 4))
    np.testing.assert_array_equal(ours[ATTENTION + "output.bias"], np.ones(32))


@pytest.mark.parametrize(
    "text, group, offset",
    [("int4", 32, True), ("int8", 32, False), ("int6", 256, False), ("int4", 256, True)],
)
def test_kept_rows_are_padded_with_scales_of_zero(text, group, offset):
    source = quantized_llama(WeightFormat(text, group, offset), head_dim=8)
    for tensor in lower(source).tensors:
        if tensor.source == THEIRS + "k_proj.weight":
            kept = tensor.kept(source)
            np.testing.assert_array_equal(kept.dequantize(), tensor.read(source))
            assert not kept.scales.reshape(2, 16, -1)[:, 8:].any()


def test_kept_columns_are_padded_if_a_row_has_one_scale():
    source = quantized_llama(WeightFormat("ternary"), head_dim=8)
    (output,) = [t for t in lower(source).tensors if t.source == THEIRS + "o_proj.weight"]
    np.testing.assert_array_equal(output.kept(source).dequantize(), output.read(source))


def test_kept_columns_in_groups_cannot_be_padded():
    source = quantized_llama(WeightFormat("int8", 32), head_dim=8)
    (output,) = [t for t in lower(source).tensors if t.source == THEIRS + "o_proj.weight"]
    assert output.kept(source) is None


def with_order(tensor: QuantizedTensor) -> QuantizedTensor:
    columns = tensor.codes.shape[1]
    return replace(tensor, order=np.random.default_rng(1).permutation(columns).astype(np.int32))


def test_rows_are_split_and_padded_whatever_the_order_of_their_columns():
    for source, name in (
        (golden("phi3"), "model.layers.0.mlp.gate_up_proj.weight"),
        (tiny_llama(head_dim=8), THEIRS + "k_proj.weight"),
    ):
        whole = on_grid(WeightFormat("int4", 32, True), source.tensors.pop(name).shape)
        source.on_grid[name] = with_order(whole)
        parts = [tensor for tensor in lower(source).tensors if tensor.source == name]
        for tensor in parts:
            kept = tensor.kept(source)
            np.testing.assert_array_equal(kept.dequantize(), tensor.read(source))
            np.testing.assert_array_equal(kept.order, source.on_grid[name].order)
        assert parts


def test_an_embedding_whose_columns_are_in_another_order_is_not_kept():
    source, name = tiny_llama(), "model.embed_tokens.weight"
    kept = on_grid(WeightFormat("int8", 32), source.tensors.pop(name).shape)
    for tensor, is_kept in ((kept, True), (with_order(kept), False)):
        source.on_grid[name] = tensor
        (embedding,) = [t for t in lower(source).tensors if t.source == name]
        assert (embedding.kept(source) is not None) == is_kept


def test_heads_of_16_are_kept_untouched():
    source = quantized_llama(WeightFormat("int8", 32), head_dim=16)
    for tensor in lower(source).tensors:
        if tensor.source in source.on_grid:
            assert tensor.padding is None
            stored = source.on_grid[tensor.source]
            np.testing.assert_array_equal(tensor.kept(source).codes, stored.codes)
