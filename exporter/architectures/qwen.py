"""Qwen2 and 2.5: biases on q, k and v, a window over the later layers; Qwen3: q and k norms."""

from dataclasses import replace

from edge.format.config import DecoderConfig

from . import llama
from .architecture import Architecture
from .keys import Keys
from .windows import layer_types, windows

DEFAULTS = {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}
NORMS_OF_HEADS = {
    "self_attn.q_norm": ("attention.query_norm",),
    "self_attn.k_norm": ("attention.key_norm",),
}


def qwen2(keys: Keys) -> DecoderConfig:
    plain = llama.decoder(keys)
    if not keys.flag("use_sliding_window"):
        return plain
    first = keys.integer("max_window_layers", least=0)
    sliding = layer_types(keys, plain.layers) or [i >= first for i in range(plain.layers)]
    return replace(plain, layer_window=windows(keys, sliding))


def qwen3(keys: Keys) -> DecoderConfig:
    return replace(qwen2(keys), qk_norm=True)


def qwen2_biases(keys: Keys) -> tuple[str, ...]:
    return ("attention.query", "attention.key", "attention.value")


QWEN2 = Architecture(qwen2, llama.NAMES, DEFAULTS, qwen2_biases)
QWEN3 = Architecture(
    qwen3,
    llama.NAMES | NORMS_OF_HEADS,
    DEFAULTS | {"head_dim": 128},
    llama.attention_biases,
)
