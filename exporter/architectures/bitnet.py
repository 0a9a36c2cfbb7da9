"""BitNet b1.58: ternary matrices, norms before the output and down projections, squared ReLU."""

from dataclasses import replace
from typing import Any

from edge.format.config import DecoderConfig

from . import llama
from .architecture import Architecture, LayerNames
from .keys import Keys

NAMES: LayerNames = llama.NAMES | {
    "self_attn.attn_sub_norm": ("attention.sub_norm",),
    "mlp.ffn_sub_norm": ("feed_forward.sub_norm",),
}
DEFAULTS: dict[str, Any] = {"hidden_act": "relu2", "num_key_value_heads": 5, "rope_theta": 5e5}


def decoder(keys: Keys) -> DecoderConfig:
    return replace(llama.decoder(keys), sub_norms=True)


BITNET = Architecture(decoder, NAMES, DEFAULTS, llama.attention_biases)
