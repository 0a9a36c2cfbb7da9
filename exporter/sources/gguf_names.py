"""GGUF tensor names in Hugging Face's words."""

import re

from edge.errors import UnsupportedModel

WHOLE_MODEL = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
GEMMA = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
PHI3 = {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
BITNET = {"attn_sub_norm": "self_attn.attn_sub_norm", "ffn_sub_norm": "mlp.ffn_sub_norm"}

LAYERS_OF = {
    "llama": LAYER,
    "qwen2": LAYER,
    "qwen3": LAYER | QK_NORMS,
    "gemma2": LAYER | GEMMA,
    "gemma3_text": LAYER | GEMMA | QK_NORMS,
    "phi3": LAYER | PHI3,
    "bitnet": LAYER | BITNET,
}
# Tensors that hold configuration (gguf_config reads them) or what follows from it.
NOT_WEIGHTS = re.compile(
    r"(blk\.\d+\.)?(rope_freqs|rope_factors_long|rope_factors_short|attn_rot_embd)(\.weight)?"
)


def hugging_face_name(name: str, model_type: str, where: str) -> str | None:
    """The checkpoint's name for a tensor; None if the tensor is not a weight."""
    if NOT_WEIGHTS.fullmatch(name):
        return None
    parts = re.fullmatch(r"(?:blk\.(0|[1-9]\d{0,3})\.)?(\w+)\.(weight|bias)", name, re.ASCII)
    if parts:
        layer, stem, kind = parts.groups()
        if layer is None and stem in WHOLE_MODEL:
            return f"{WHOLE_MODEL[stem]}.{kind}"
        if layer is not None and stem in LAYERS_OF[model_type]:
            return f"model.layers.{layer}.{LAYERS_OF[model_type][stem]}.{kind}"
    raise UnsupportedModel(f"{where}: edge knows no tensor {name!r} in a {model_type} model")
