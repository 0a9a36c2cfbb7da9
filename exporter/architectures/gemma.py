"""Gemma 2 and 3 (text): norms of 1 + w around each block, a scaled embedding, local layers."""

import math
import re
from dataclasses import replace
from typing import Any

from edge.errors import UnsupportedModel
from edge.format.config import DecoderConfig, Rope

from . import llama
from .architecture import Architecture, LayerNames
from .keys import Keys
from .qwen import NORMS_OF_HEADS
from .rope import scaled
from .windows import layer_types, windows

NAMES: LayerNames = llama.NAMES | {
    "post_attention_layernorm": ("attention_post_norm",),
    "pre_feedforward_layernorm": ("feed_forward_norm",),
    "post_feedforward_layernorm": ("feed_forward_post_norm",),
}
DEFAULTS: dict[str, Any] = {
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-6,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}
# Published multimodal checkpoints leave even these out of their text_config.
DEFAULTS_OF_3 = DEFAULTS | {"max_position_embeddings": 131072, "vocab_size": 262208}
THETA, LOCAL_THETA = 1e6, 1e4  # of Gemma 3
MULTIMODAL = {
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "model.language_model.": "model.",
}
VISION = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\..*")


def gemma(keys: Keys, *ropes: Rope) -> DecoderConfig:
    """What both generations share."""
    if keys.flag("use_bidirectional_attention"):
        raise UnsupportedModel(f"{keys.where}: bidirectional attention, which edge does not have")
    plain = llama.decoder(keys, *ropes, activation_key="hidden_activation")
    return replace(
        plain,
        attention_scale=keys.positive("query_pre_attn_scalar") ** -0.5,
        embedding_scale=math.sqrt(plain.hidden),
        logits_softcap=keys.number("final_logit_softcapping", 0.0),
        post_norms=True,
    )


def gemma2(keys: Keys) -> DecoderConfig:
    """Every other layer slides, the first one too."""
    common = gemma(keys)
    sliding = layer_types(keys, common.layers) or [i % 2 == 0 for i in range(common.layers)]
    return replace(
        common,
        attention_softcap=keys.number("attn_logit_softcapping", 0.0),
        layer_window=windows(keys, sliding),
    )


def gemma3(keys: Keys) -> DecoderConfig:
    """Every sixth layer is global; the local ones have a RoPE of their own."""
    common = gemma(keys, *_ropes(keys))
    sliding = layer_types(keys, common.layers) or _pattern(keys, common.layers)
    return replace(
        common,
        qk_norm=True,
        layer_rope=tuple(int(s) for s in sliding),
        layer_window=windows(keys, sliding),
    )


def _pattern(keys: Keys, layers: int) -> list[bool]:
    period = keys.integer("sliding_window_pattern", keys.integer("_sliding_window_pattern", 6))
    return [(i + 1) % period != 0 for i in range(layers)]


def _ropes(keys: Keys) -> tuple[Rope, Rope]:
    """RoPE of the global and of the local layers; `rope_scaling` is for the global ones."""
    if "rope_frequency_factors" in keys:
        raise UnsupportedModel(f"{keys.where}: RoPE frequency factors in a Gemma 3")
    head_dim, context = keys.integer("head_dim"), keys.integer("max_position_embeddings")
    nested, scaling = keys.under("rope_parameters"), keys.under("rope_scaling")
    of_all = nested.under("full_attention").present()
    of_local = nested.under("sliding_attention").present()
    shared = keys.present("partial_rotary_factor")
    of_all = shared | {"rope_theta": keys.positive("rope_theta", THETA)} | of_all
    of_local = (
        shared | {"rope_theta": keys.positive("rope_local_base_freq", LOCAL_THETA)} | of_local
    )
    return (
        scaled(Keys(of_all | scaling.present(), keys.where), head_dim, context),
        scaled(Keys(of_local, keys.where), head_dim, context),
    )


GEMMA2 = Architecture(
    gemma2,
    NAMES,
    DEFAULTS | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    llama.attention_biases,
    norm_offset=1.0,
)
GEMMA3 = Architecture(
    gemma3,
    NAMES | NORMS_OF_HEADS,
    DEFAULTS_OF_3,
    llama.attention_biases,
    norm_offset=1.0,
    prefixes=MULTIMODAL,
    unused=VISION,
)
