"""Phi-3, Phi-3.5 and Phi-4-mini: Llama with q, k, v and gate, up fused, and a window."""

from dataclasses import replace

from edge.format.config import DecoderConfig

from . import llama
from .architecture import Architecture, LayerNames
from .keys import Keys
from .rope import rope
from .windows import windows

NAMES: LayerNames = {
    "input_layernorm": ("attention_norm",),
    "self_attn.qkv_proj": ("attention.query", "attention.key", "attention.value"),
    "self_attn.o_proj": ("attention.output",),
    "post_attention_layernorm": ("feed_forward_norm",),
    "mlp.gate_up_proj": ("feed_forward.gate", "feed_forward.up"),
    "mlp.down_proj": ("feed_forward.down",),
}
OLD_ROPE_TYPES = {"su": "longrope", "yarn": "longrope"}


def phi3(keys: Keys) -> DecoderConfig:
    one_rope = rope(keys, llama.head_dim(keys), renamed=OLD_ROPE_TYPES)
    plain = llama.decoder(keys, one_rope)
    return replace(plain, layer_window=windows(keys, [True] * plain.layers))


PHI3 = Architecture(phi3, NAMES)
