"""BERT and what has its layers: RoBERTa, XLM-R and CamemBERT, DistilBERT."""

import re
from dataclasses import replace

from edge.errors import UnsupportedModel
from edge.format.encoder_config import EncoderConfig

from .architecture import LayerNames
from .encoder import EncoderArchitecture, context, refuse
from .keys import Keys

ACTIVATIONS = {
    "gelu": "exactgelu",
    "gelu_new": "tanhgelu",
    "gelu_fast": "tanhgelu",
    "gelu_pytorch_tanh": "tanhgelu",
    "relu": "relu",
}
MAX_LAYERS = 1024
RESERVED = 2  # RoBERTa's positions begin behind that of padding, which is 1
HEADS = re.compile(
    r"((bert|roberta|distilbert)\.)?"
    r"(pooler|cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_\w+)\..*"
    r"|(.*\.)?embeddings\.(position_ids|token_type_ids)"
)

NAMES: LayerNames = {
    "attention.self.query": ("attention.query",),
    "attention.self.key": ("attention.key",),
    "attention.self.value": ("attention.value",),
    "attention.output.dense": ("attention.output",),
    "attention.output.LayerNorm": ("attention_norm",),
    "intermediate.dense": ("feed_forward.up",),
    "output.dense": ("feed_forward.down",),
    "output.LayerNorm": ("feed_forward_norm",),
}
DISTILLED: LayerNames = {
    "attention.q_lin": ("attention.query",),
    "attention.k_lin": ("attention.key",),
    "attention.v_lin": ("attention.value",),
    "attention.out_lin": ("attention.output",),
    "sa_layer_norm": ("attention_norm",),
    "ffn.lin1": ("feed_forward.up",),
    "ffn.lin2": ("feed_forward.down",),
    "output_layer_norm": ("feed_forward_norm",),
}


def bert(keys: Keys) -> EncoderConfig:
    refuse(keys, "position_embedding_type", "absolute")
    if keys.flag("is_decoder"):
        raise UnsupportedModel(f"{keys.where}: a BERT that is a decoder; edge runs encoders")
    heads, hidden = keys.integer("num_attention_heads"), keys.integer("hidden_size")
    head_dim = max(1, hidden // heads)
    return EncoderConfig(
        architecture=keys.text("model_type"),
        layers=keys.integer("num_hidden_layers", most=MAX_LAYERS),
        hidden=hidden,
        heads=heads,
        head_dim=head_dim,
        feed_forward=keys.integer("intermediate_size"),
        vocabulary=keys.integer("vocab_size"),
        context=context(keys, 0),
        norm_epsilon=keys.number("layer_norm_eps", 1e-12),
        attention_scale=head_dim**-0.5,
        activation=activation(keys, "hidden_act"),
    )


def roberta(keys: Keys) -> EncoderConfig:
    return replace(bert(keys), context=context(keys, RESERVED))


def distilbert(keys: Keys) -> EncoderConfig:
    """The same in other words."""
    words = {
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
        "hidden_size": "dim",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    }
    return bert(keys.over({ours: keys.values.get(theirs) for ours, theirs in words.items()}))


def activation(keys: Keys, name: str) -> str:
    theirs = keys.text(name, "gelu")
    if theirs not in ACTIVATIONS:
        raise UnsupportedModel(
            f"{keys.where}: activation {theirs!r:.60}; edge has {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[theirs]


TYPES = "embeddings.token_type_embeddings.weight"
BERT = EncoderArchitecture(
    bert, NAMES, "encoder.layer.{}.", TYPES, prefixes={"bert.": ""}, unused=HEADS
)
ROBERTA = EncoderArchitecture(
    roberta, NAMES, "encoder.layer.{}.", TYPES, RESERVED, prefixes={"roberta.": ""}, unused=HEADS
)
DISTILBERT = EncoderArchitecture(
    distilbert,
    DISTILLED,
    "transformer.layer.{}.",
    types=None,
    prefixes={"distilbert.": ""},
    unused=HEADS,
)
