"""GGUF metadata as the config.json of the same model.

Defaults that a file may leave out are llama.cpp's (src/models/<architecture>.cpp) and, for RoPE
of Gemma 3, transformers'.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel

from .gguf_file import GgufFile, Value

MODEL_TYPES = {
    "llama": "llama",  # Mistral too: GGUF does not tell them apart
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi3": "phi3",
    "bitnet": "bitnet",
    "bitnet-b1.58": "bitnet",
    "bitnet-25": "bitnet",
}
# bitnet.cpp's names mean the 2B-4T model, whose activation is not the first BitNet's.
ACTIVATIONS = {
    "gemma2": "gelu_pytorch_tanh",
    "gemma3": "gelu_pytorch_tanh",
    "bitnet-b1.58": "relu2",
    "bitnet-25": "relu2",
}
SLIDING_PERIOD = {"gemma2": 2, "gemma3": 6}  # the last layer of a period sees everything
# Gemma divides queries by sqrt(hidden / heads) in its 27B models, by sqrt(head_dim) elsewhere.
LAYERS_OF_27B = {"gemma2": 46, "gemma3": 62}
MAX_LAYERS = 1024


class Keys:
    """The metadata of one architecture, read by name and type."""

    def __init__(self, file: GgufFile) -> None:
        self.file = file
        self.metadata = file.metadata
        self.architecture = self.of("general.architecture", str)
        if self.architecture not in MODEL_TYPES:
            raise UnsupportedModel(
                f"{file.path}: architecture {self.architecture!r:.60}; edge reads "
                f"{', '.join(MODEL_TYPES)}"
            )

    def of(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of a whole key; `default` None means the file must have it."""
        value = self.metadata.get(key, default)
        if value is None:
            raise SourceError(f"{self.file.path}: the key {key!r} is missing")
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise SourceError(
                f"{self.file.path}: {key}: expected {kind.__name__}, found {value!r:.60}"
            )
        return value

    def has(self, name: str) -> bool:
        return f"{self.architecture}.{name}" in self.metadata

    def text(self, name: str, default: str) -> str:
        text: str = self.of(f"{self.architecture}.{name}", str, default)
        return text

    def number(self, name: str, default: float | None = None) -> float:
        number: float = self.of(f"{self.architecture}.{name}", float, default)
        if not abs(number) < 1e30:
            raise SourceError(f"{self.file.path}: {name}: expected a finite number, found {number}")
        return number

    def integer(self, name: str, default: int | None = None, least: int = 1) -> int:
        """A whole number; a list with one value for every layer counts as that value."""
        key = f"{self.architecture}.{name}"
        value = _same_in_every_layer(self.metadata.get(key), f"{self.file.path}: {key}")
        if value is None and default is None:
            raise SourceError(f"{self.file.path}: the key {key!r} is missing")
        value = default if value is None else value
        if type(value) is not int or not least <= value < 2**31:
            raise SourceError(
                f"{self.file.path}: {key}: expected {least}..2**31-1, found {value!r:.60}"
            )
        return value


def _same_in_every_layer(value: Value | None, where: str) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if value.size and (value == value[0]).all():
        return value[0].item()
    raise UnsupportedModel(f"{where} differs from layer to layer, which edge does not support")


def hugging_face_config(file: GgufFile, tied: bool) -> dict[str, Any]:
    """The keys of config.json; `tied` says that the file has no output matrix of its own."""
    keys = Keys(file)
    _refuse_experts(keys)
    config = _shapes(keys) | _rope(keys) | _windows(keys) | _gemma(keys)
    activation = ACTIVATIONS.get(keys.architecture, "silu")
    config |= {
        "model_type": MODEL_TYPES[keys.architecture],
        "hidden_act": activation,
        "rms_norm_eps": keys.number("attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": tied,
    }
    if keys.architecture in ("gemma2", "gemma3"):
        config["hidden_activation"] = activation  # what transformers reads there
    return config | _token_ids(keys)


def _refuse_experts(keys: Keys) -> None:
    experts = keys.integer("expert_count", 0, least=0)
    if experts:
        raise UnsupportedModel(
            f"{keys.file.path}: a mixture of {experts} experts, which edge does not support"
        )


def _shapes(keys: Keys) -> dict[str, Any]:
    layers = keys.integer("block_count")
    if layers > MAX_LAYERS:
        raise SourceError(f"{keys.file.path}: expected at most {MAX_LAYERS} layers, found {layers}")
    hidden = keys.integer("embedding_length")
    heads = keys.integer("attention.head_count")
    head_dim = _head_dim(keys)
    if keys.integer("attention.value_length", head_dim) != head_dim:
        raise UnsupportedModel(f"{keys.file.path}: key and value heads differ in size")
    return {
        "hidden_size": hidden,
        "intermediate_size": keys.integer("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys.integer("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": keys.integer("context_length"),
        "vocab_size": _vocabulary(keys.file),
    }


def _head_dim(keys: Keys) -> int:
    even = keys.integer("embedding_length") // keys.integer("attention.head_count")
    return keys.integer("attention.key_length", max(1, even))


def _vocabulary(file: GgufFile) -> int:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise SourceError(f"{file.path}: no embedding matrix 'token_embd.weight'; a vocabulary?")
    return embedding.shape[0]


def _rope(keys: Keys) -> dict[str, Any]:
    gemma3 = keys.architecture == "gemma3"
    config: dict[str, Any] = {
        "rope_theta": keys.number("rope.freq_base", 1e6 if gemma3 else 1e4),
        "rope_scaling": _rope_scaling(keys),
    }
    dims, head_dim = keys.integer("rope.dimension_count", _head_dim(keys)), _head_dim(keys)
    if dims != head_dim:
        config["partial_rotary_factor"] = dims / head_dim
    if gemma3:
        config["rope_local_base_freq"] = keys.number("rope.freq_base_swa", 1e4)
    if keys.has("rope.scaling.original_context_length"):
        config["original_max_position_embeddings"] = _original_context(keys)
    factors = _small_tensor(keys.file, "rope_freqs.weight")
    if factors is not None and set(factors) != {1.0}:
        config["rope_frequency_factors"] = factors  # llama3's scaling, worked out by the converter
    return config


def _original_context(keys: Keys) -> int:
    return keys.integer("rope.scaling.original_context_length", keys.integer("context_length"))


def _rope_scaling(keys: Keys) -> dict[str, Any] | None:
    short = _small_tensor(keys.file, "rope_factors_short.weight")
    long = _small_tensor(keys.file, "rope_factors_long.weight")
    if short is not None and long is not None:
        return _longrope(keys, short, long)
    kind = keys.text("rope.scaling.type", "linear")
    factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 1.0))
    if kind == "none" or factor in (0.0, 1.0):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        return _yarn(keys, factor)
    raise UnsupportedModel(f"{keys.file.path}: RoPE scaling {kind!r:.60}")


def _longrope(keys: Keys, short: list[float], long: list[float]) -> dict[str, Any]:
    scaling: dict[str, Any] = {
        "rope_type": "longrope",
        "short_factor": short,
        "long_factor": long,
        "original_max_position_embeddings": _original_context(keys),
    }
    if keys.has("rope.scaling.attn_factor"):
        scaling["attention_factor"] = keys.number("rope.scaling.attn_factor")
    return scaling


def _yarn(keys: Keys, factor: float) -> dict[str, Any]:
    scaling: dict[str, Any] = {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": _original_context(keys),
    }
    names = {
        "attention_factor": "rope.scaling.yarn_attn_factor",
        "beta_fast": "rope.scaling.yarn_beta_fast",
        "beta_slow": "rope.scaling.yarn_beta_slow",
    }
    scaling |= {ours: keys.number(gguf) for ours, gguf in names.items() if keys.has(gguf)}
    if keys.has("rope.scaling.yarn_log_multiplier") and factor > 1:  # mscale_all_dim of Mistral
        all_dims = keys.number("rope.scaling.yarn_log_multiplier")
        log = 0.1 * math.log(factor)
        scaling["attention_factor"] = (log + 1) / (all_dims * log + 1)
    return scaling


def _small_tensor(file: GgufFile, name: str) -> list[float] | None:
    """The values of a one-dimensional float32 tensor that holds configuration."""
    tensor = file.tensors.get(name)
    if tensor is None:
        return None
    if tensor.type.name != "F32" or len(tensor.shape) != 1 or tensor.shape[0] > 4096:
        raise SourceError(
            f"{file.path}: {name}: expected at most 4096 F32 values, found {tensor.type.name} "
            f"of shape {tensor.shape}"
        )
    values: list[float] = file.bytes_of(tensor).view("<f4").tolist()
    return values


def _windows(keys: Keys) -> dict[str, Any]:
    """Which layers see only the last `sliding_window` tokens."""
    default = 4096 if keys.architecture == "gemma2" else 0
    window = keys.integer("attention.sliding_window", default, least=0)
    period = SLIDING_PERIOD.get(keys.architecture)
    if period is None:
        return {"sliding_window": window or None}
    layers = keys.integer("block_count")
    sliding = [False] * layers if not window else _sliding_layers(keys, layers, period)
    kinds = ["sliding_attention" if s else "full_attention" for s in sliding]
    return {"sliding_window": window or None, "layer_types": kinds}


def _sliding_layers(keys: Keys, layers: int, period: int) -> Iterable[bool]:
    pattern = keys.metadata.get(f"{keys.architecture}.attention.sliding_window_pattern", period)
    if isinstance(pattern, np.ndarray):
        if pattern.size < layers:
            raise SourceError(
                f"{keys.file.path}: the sliding window pattern has {pattern.size} entries for "
                f"{layers} layers"
            )
        return [bool(p) for p in pattern[:layers]]
    if type(pattern) is not int or pattern < 0:
        raise SourceError(f"{keys.file.path}: sliding window pattern {pattern!r:.60}")
    return [pattern == 0 or i % pattern < pattern - 1 for i in range(layers)]


def _gemma(keys: Keys) -> dict[str, Any]:
    if keys.architecture not in LAYERS_OF_27B:
        return {}
    scalar = _head_dim(keys)
    if keys.integer("block_count") == LAYERS_OF_27B[keys.architecture]:
        scalar = keys.integer("embedding_length") // keys.integer("attention.head_count")
    has_caps = keys.architecture == "gemma2"  # llama.cpp's defaults for Gemma 2 are the model's
    attention = keys.number("attn_logit_softcapping", 50.0 if has_caps else 0.0)
    logits = keys.number("final_logit_softcapping", 30.0 if has_caps else 0.0)
    return {
        "query_pre_attn_scalar": scalar,
        "attn_logit_softcapping": attention or None,
        "final_logit_softcapping": logits or None,
    }


def _token_ids(keys: Keys) -> dict[str, Any]:
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    ids = {}
    for ours, gguf in names.items():
        value = keys.metadata.get(f"tokenizer.ggml.{gguf}_token_id")
        if type(value) is int:
            ids[ours] = value
    return ids
