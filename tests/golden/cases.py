"""What each golden is about: a configuration as published, and the features its logits must show."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Config = dict[str, Any]
Edit = Callable[[nn.Module], None]


@dataclass(frozen=True)
class Without:
    """A model that lacks one feature: other config keys, or modules and weights edited."""

    feature: str
    config: Config = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class Case:
    name: str
    config: Config
    without: tuple[Without, ...]
    tokens: int = 48
    short: int = 0  # length of `logits_short`; 0 = none
    dtype: torch.dtype = torch.float16


def weight(suffix: str, change: Callable[[Tensor], Tensor]) -> Edit:
    """Change every parameter whose name ends in `suffix`."""

    def edit(model: nn.Module) -> None:
        named = [p for name, p in model.named_parameters() if name.endswith(suffix)]
        assert named, suffix
        for parameter in named:
            parameter.copy_(change(parameter))

    return edit


def skip(suffix: str) -> Edit:
    """Replace every module whose name ends in `suffix` by the identity."""

    def edit(model: nn.Module) -> None:
        named = [name for name, _ in model.named_modules() if name.endswith(suffix)]
        assert named, suffix
        for name in named:
            model.set_submodule(name, nn.Identity())

    return edit


def even_then_odd(head_dim: int) -> Callable[[Tensor], Tensor]:
    """Rows of q or k such that half-split RoPE rotates the pairs (2j, 2j + 1) of the original."""

    def change(w: Tensor) -> Tensor:
        pairs = w.view(-1, head_dim // 2, 2, w.shape[1])
        return pairs.transpose(1, 2).reshape(w.shape)

    return change


def swap_halves(w: Tensor) -> Tensor:
    return torch.cat(w.chunk(2)[::-1])


LLAMA: Config = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 256,
}

LLAMA3_ROPE: Config = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 40,
    "rope_type": "llama3",
}

YARN_ROPE: Config = {
    "beta_fast": 4.0,
    "beta_slow": 0.5,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_type": "yarn",
}

QWEN: Config = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 1000000.0,
    "sliding_window": 17,
    "vocab_size": 256,
}

GEMMA: Config = {
    "attention_bias": False,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "hidden_activation": "gelu_pytorch_tanh",
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "vocab_size": 256,
}

PHI3: Config = {
    "architectures": ["Phi3ForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "model_type": "phi3",
    "num_hidden_layers": 2,
    "original_max_position_embeddings": 32,
    "pad_token_id": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "vocab_size": 256,
}


def longrope(frequencies: int) -> Config:
    """Divisors as published ones look: short near 1, long rising with the wavelength."""
    j = range(frequencies)
    return {
        "long_factor": [round(1.1 + 12 * (i / frequencies) ** 2, 3) for i in j],
        "short_factor": [round(1.0 + 0.3 * i / frequencies, 3) for i in j],
        "type": "longrope",
    }


def llama2() -> Case:
    config = LLAMA | {"num_key_value_heads": 4, "head_dim": 16, "rms_norm_eps": 1e-2}
    interleaved = even_then_odd(config["head_dim"])
    return Case(
        "llama2",
        config,
        (
            Without("theta", {"rope_theta": 20000.0}),
            Without("epsilon", {"rms_norm_eps": 1e-5}),
            Without("norm weights", edits=(weight("norm.weight", torch.ones_like),)),
            Without(
                "half-split pairs",
                edits=(weight("q_proj.weight", interleaved), weight("k_proj.weight", interleaved)),
            ),
        ),
        dtype=torch.float32,
    )


def llama3() -> Case:
    config = LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3_ROPE}
    return Case(
        "llama3",
        config | {"tie_word_embeddings": True},
        (
            Without("scaling", {"rope_scaling": None}),
            Without("smooth band", {"rope_scaling": LLAMA3_ROPE | {"high_freq_factor": 1.001}}),
        ),
        tokens=64,
    )


def smollm2() -> Case:
    heads = {"hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1}
    config = LLAMA | heads | {"intermediate_size": 160, "rope_theta": 100000.0}
    return Case(
        "smollm2",
        config | {"tie_word_embeddings": True, "vocab_size": 250},
        (Without("theta", {"rope_theta": 10000.0}),),
    )


def mistral() -> Case:
    identity = {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}
    config = {k: v for k, v in LLAMA.items() if k not in ("attention_bias", "mlp_bias")}
    return Case(
        "mistral",
        config | identity | {"sliding_window": 13, "vocab_size": 259},
        (
            Without("window", {"sliding_window": None}),
            Without("window of 13, not 12", {"sliding_window": 12}),
            Without("window of 13, not 14", {"sliding_window": 14}),
        ),
    )


def qwen2() -> Case:
    """The layers from max_window_layers on have a window."""
    config = QWEN | {
        "architectures": ["Qwen2ForCausalLM"],
        "max_window_layers": 1,
        "model_type": "qwen2",
        "num_hidden_layers": 3,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "use_sliding_window": True,
    }
    return Case(
        "qwen2",
        config,
        (
            Without("biases", edits=(weight("bias", torch.zeros_like),)),
            Without("key biases", edits=(weight("k_proj.bias", torch.zeros_like),)),
            Without("window", {"use_sliding_window": False}),
            Without("full attention in layer 0", {"max_window_layers": 0}),
        ),
    )


def qwen3() -> Case:
    """The window in the config is not in use."""
    config = QWEN | {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "head_dim": 32,
        "max_window_layers": 1,
        "model_type": "qwen3",
        "num_hidden_layers": 2,
        "rms_norm_eps": 1e-2,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
    }
    return Case(
        "qwen3",
        config,
        (
            Without("query and key norms", edits=(skip("q_norm"), skip("k_norm"))),
            Without("query norm weights", edits=(weight("q_norm.weight", torch.ones_like),)),
            Without("epsilon", {"rms_norm_eps": 1e-6}),
            Without("full attention", {"use_sliding_window": True}),
        ),
    )


def gemma2() -> Case:
    config = GEMMA | {
        "architectures": ["Gemma2ForCausalLM"],
        "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 5.0,
        "head_dim": 32,
        "hidden_size": 64,
        "model_type": "gemma2",
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "query_pre_attn_scalar": 20,
        "rms_norm_eps": 1e-2,
        "rope_theta": 10000.0,
        "sliding_window": 13,
    }
    other_order = ["full_attention", "sliding_attention", "full_attention"]
    return Case(
        "gemma2",
        config,
        (
            Without("attention softcap", {"attn_logit_softcapping": None}),
            Without("logits softcap", {"final_logit_softcapping": None}),
            Without("attention scale", {"query_pre_attn_scalar": 32}),
            Without("window", {"sliding_window": 128}),
            Without("window of 13, not 12", {"sliding_window": 12}),
            Without("window in the even layers", {"layer_types": other_order}),
            Without("post-attention norm", edits=(skip("post_attention_layernorm"),)),
            Without("post-feed-forward norm", edits=(skip("post_feedforward_layernorm"),)),
            Without("1 + w", edits=(weight("norm.weight", lambda w: w - 1),)),
            Without("epsilon", {"rms_norm_eps": 1e-6}),
        ),
    )


def gemma3_text() -> Case:
    """Layers 0, 1 and 3 have the window and the local theta; only layer 2 the scaled RoPE."""
    config = GEMMA | {
        "architectures": ["Gemma3ForCausalLM"],
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "head_dim": 16,
        "hidden_size": 96,
        "model_type": "gemma3_text",
        "num_hidden_layers": 4,
        "num_key_value_heads": 1,
        "query_pre_attn_scalar": 24,
        "rms_norm_eps": 1e-6,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "rope_theta": 1000000.0,
        "sliding_window": 13,
        "sliding_window_pattern": 3,
    }
    return Case(
        "gemma3_text",
        config,
        (
            Without("local theta", {"rope_local_base_freq": 1000000.0}),
            Without("global theta", {"rope_theta": 10000.0}),
            Without("global scaling", {"rope_scaling": None}),
            Without("window", {"sliding_window": 128}),
            Without("window of 13, not 14", {"sliding_window": 14}),
            Without("pattern of 3", {"sliding_window_pattern": 2}),
            Without("query and key norms", edits=(skip("q_norm"), skip("k_norm"))),
            Without("attention scale", {"query_pre_attn_scalar": 16}),
            Without("1 + w", edits=(weight("norm.weight", lambda w: w - 1),)),
        ),
    )


def phi3() -> Case:
    config = PHI3 | {
        "max_position_embeddings": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "original_max_position_embeddings": 128,
        "rope_scaling": None,
        "sliding_window": 19,
        "tie_word_embeddings": False,
    }
    return Case(
        "phi3",
        config,
        (
            Without("window", {"sliding_window": None}),
            Without("window of 19, not 20", {"sliding_window": 20}),
            Without("gate before up", edits=(weight("gate_up_proj.weight", swap_halves),)),
        ),
    )


def phi3_longrope() -> Case:
    """A pass that ends beyond the original context uses the long factors at every position."""
    rope = longrope(16)
    config = PHI3 | {
        "max_position_embeddings": 128,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_scaling": rope,
        "sliding_window": 262144,
        "tie_word_embeddings": False,
    }
    return Case(
        "phi3_longrope",
        config,
        (
            Without("scaling", {"rope_scaling": None}),
            Without("long factors", {"rope_scaling": rope | {"long_factor": rope["short_factor"]}}),
            Without("attention factor", {"rope_scaling": rope | {"attention_factor": 1.0}}),
        ),
        short=32,
    )


def phi4_mini() -> Case:
    """Phi-3 with three quarters of a head rotated, and tied embeddings."""
    rope = longrope(12)
    config = PHI3 | {
        "max_position_embeddings": 128,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "partial_rotary_factor": 0.75,
        "rope_scaling": rope,
        "sliding_window": 262144,
        "tie_word_embeddings": True,
    }
    whole = {"rope_scaling": longrope(16), "partial_rotary_factor": 1.0}
    return Case(
        "phi4_mini",
        config,
        (
            Without("scaling", {"rope_scaling": None}),
            Without("long factors", {"rope_scaling": rope | {"long_factor": rope["short_factor"]}}),
            Without("partial rotation", whole),
        ),
        short=32,
    )


def bitnet() -> Case:
    """Without a quantization_config, transformers runs plain float32 linear layers."""
    identity = {"architectures": ["BitNetForCausalLM"], "model_type": "bitnet"}
    ours = {"hidden_act": "relu2", "rms_norm_eps": 1e-2, "tie_word_embeddings": True}
    config = LLAMA | identity | ours | {"rope_theta": 500000.0}
    config = {k: v for k, v in config.items() if k not in ("head_dim", "mlp_bias")}
    return Case(
        "bitnet",
        config,
        (
            Without("attention sub-norm", edits=(skip("attn_sub_norm"),)),
            Without("feed-forward sub-norm", edits=(skip("ffn_sub_norm"),)),
            Without("squared ReLU", {"hidden_act": "relu"}),
            Without("epsilon", {"rms_norm_eps": 1e-5}),
        ),
    )


def rope_linear() -> Case:
    """Also biases in every matrix."""
    rope = {"factor": 4.0, "type": "linear"}
    return Case(
        "rope_linear",
        LLAMA | {"attention_bias": True, "mlp_bias": True, "rope_scaling": rope},
        (
            Without("scaling", {"rope_scaling": None}),
            Without("output biases", edits=(weight("o_proj.bias", torch.zeros_like),)),
            Without("up biases", edits=(weight("up_proj.bias", torch.zeros_like),)),
            Without("down biases", edits=(weight("down_proj.bias", torch.zeros_like),)),
        ),
    )


def rope_dynamic() -> Case:
    """Each step of decoding has its own frequencies; keys keep those they were stored with."""
    rope = {"factor": 4.0, "type": "dynamic"}
    return Case(
        "rope_dynamic",
        LLAMA | {"max_position_embeddings": 32, "rope_scaling": rope},
        (
            Without("scaling", {"rope_scaling": None}),
            Without("factor", {"rope_scaling": rope | {"factor": 3.0}}),
        ),
        tokens=56,
        short=32,
    )


def rope_yarn() -> Case:
    def other(**changes: Any) -> Config:
        return {"rope_scaling": YARN_ROPE | changes}

    return Case(
        "rope_yarn",
        LLAMA | {"max_position_embeddings": 256, "rope_scaling": YARN_ROPE},
        (
            Without("scaling", {"rope_scaling": None}),
            Without("attention factor", other(attention_factor=1.0)),
            Without("beta_fast", other(beta_fast=32.0)),
            Without("beta_slow", other(beta_slow=1.0)),
            Without("rounded ramp", other(truncate=False)),
        ),
        tokens=64,
    )


CASES = (
    llama2,
    llama3,
    smollm2,
    mistral,
    qwen2,
    qwen3,
    gemma2,
    gemma3_text,
    phi3,
    phi3_longrope,
    phi4_mini,
    bitnet,
    rope_linear,
    rope_dynamic,
    rope_yarn,
)
