"""Llama 2 and 3, SmolLM2: the plain decoder that other families vary."""

from edge.errors import UnsupportedModel
from edge.format.config import DecoderConfig, Rope

from .architecture import Architecture, LayerNames
from .keys import Keys
from .rope import rope

MAX_LAYERS = 1024
ACTIVATIONS = {"silu": "silu", "gelu_pytorch_tanh": "gelu", "relu2": "relu2"}

NAMES: LayerNames = {
    "input_layernorm": ("attention_norm",),
    "self_attn.q_proj": ("attention.query",),
    "self_attn.k_proj": ("attention.key",),
    "self_attn.v_proj": ("attention.value",),
    "self_attn.o_proj": ("attention.output",),
    "post_attention_layernorm": ("feed_forward_norm",),
    "mlp.gate_proj": ("feed_forward.gate",),
    "mlp.up_proj": ("feed_forward.up",),
    "mlp.down_proj": ("feed_forward.down",),
}
ATTENTION = ("attention.query", "attention.key", "attention.value", "attention.output")
FEED_FORWARD = ("feed_forward.gate", "feed_forward.up", "feed_forward.down")


def decoder(keys: Keys, *ropes: Rope, activation_key: str = "hidden_act") -> DecoderConfig:
    """Full attention in every layer, the first RoPE everywhere, no norms but the two before."""
    layers = keys.integer("num_hidden_layers", most=MAX_LAYERS)
    heads = keys.integer("num_attention_heads")
    return DecoderConfig(
        architecture=keys.text("model_type"),
        layers=layers,
        hidden=keys.integer("hidden_size"),
        heads=heads,
        kv_heads=keys.integer("num_key_value_heads", heads),
        head_dim=head_dim(keys),
        feed_forward=keys.integer("intermediate_size"),
        vocabulary=keys.integer("vocab_size"),
        context=keys.integer("max_position_embeddings"),
        norm_epsilon=keys.number("rms_norm_eps"),
        attention_scale=head_dim(keys) ** -0.5,
        ropes=ropes or (rope(keys, head_dim(keys)),),
        layer_rope=(0,) * layers,
        layer_window=(0,) * layers,
        activation=activation(keys, activation_key),
    )


def head_dim(keys: Keys) -> int:
    even = keys.integer("hidden_size") // keys.integer("num_attention_heads")
    return keys.integer("head_dim", max(1, even))


def activation(keys: Keys, name: str) -> str:
    """Our name of the function that gates the feed-forward."""
    theirs = keys.text(name, "silu")
    if theirs not in ACTIVATIONS:
        raise UnsupportedModel(
            f"{keys.where}: activation {theirs!r:.60}; edge has {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[theirs]


def attention_biases(keys: Keys) -> tuple[str, ...]:
    return ATTENTION if keys.flag("attention_bias") else ()


def biases(keys: Keys) -> tuple[str, ...]:
    return attention_biases(keys) + (FEED_FORWARD if keys.flag("mlp_bias") else ())


LLAMA = Architecture(decoder, NAMES, biases=biases)
