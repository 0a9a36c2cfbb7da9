"""A tiny llama in quantized model folders of every kind, packed here in the plainest way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Parts = dict[str, np.ndarray]  # last names of a matrix's tensors

GROUP = 32
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "vocab_size": 40,
}
LINEAR = {
    "self_attn.q_proj": (64, 64),
    "self_attn.k_proj": (32, 64),
    "self_attn.v_proj": (32, 64),
    "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (128, 64),
    "mlp.up_proj": (128, 64),
    "mlp.down_proj": (64, 128),
}


def words(codes: np.ndarray, bits: int) -> np.ndarray:
    """[rows, columns] -> int32 [rows, columns * bits / 32], lowest bits first."""
    rows = [sum(int(c) << bits * i for i, c in enumerate(row)) for row in codes]
    size = codes.shape[1] * bits // 8
    return np.stack([np.frombuffer(r.to_bytes(size, "little"), np.int32) for r in rows])


def affine(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """4-bit codes [rows, columns], zero points and float16 scales [rows, groups]."""
    groups = weight.reshape(len(weight), -1, GROUP)
    low, high = np.minimum(groups.min(2), 0), np.maximum(groups.max(2), 0)
    scales = ((high - low) / 15).astype(np.float16)
    zeros = np.round(-low / scales).astype(int).clip(0, 15)
    codes = np.round(groups / scales[..., None]).astype(int) + zeros[..., None]
    return codes.clip(0, 15).reshape(weight.shape), zeros, scales


def gptq(weight: np.ndarray) -> Parts:
    codes, zeros, scales = affine(weight)
    return {
        "qweight": np.ascontiguousarray(words(codes, 4).T),
        "qzeros": words(np.maximum(zeros, 1).T - 1, 4),  # stored less one
        "scales": np.ascontiguousarray(scales.T),
        "g_idx": (np.arange(weight.shape[1]) // GROUP).astype(np.int32),
    }


def scattered(columns: int) -> np.ndarray:
    """The group of each column, as act-order has them: the same for all that read the same."""
    return np.random.default_rng(columns).permutation(columns) // GROUP


def in_groups(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix with its scattered columns side by side, and where each column is there."""
    order = np.argsort(scattered(weight.shape[1]), kind="stable")
    return weight[:, order], np.argsort(order)


def gptq_act_order(weight: np.ndarray) -> Parts:
    together, back = in_groups(weight)
    codes, _, _ = affine(together)
    qweight = np.ascontiguousarray(words(codes[:, back], 4).T)
    return gptq(together) | {
        "qweight": qweight,
        "g_idx": scattered(weight.shape[1]).astype(np.int32),
    }


def awq(weight: np.ndarray) -> Parts:
    codes, zeros, scales = affine(weight)
    rows = np.arange(len(weight)).reshape(-1, 8)[:, [0, 2, 4, 6, 1, 3, 5, 7]].ravel()
    qweight, qzeros = words(codes.T[:, rows], 4), words(zeros.T[:, rows], 4)
    return {"qweight": qweight, "qzeros": qzeros, "scales": np.ascontiguousarray(scales.T)}


def four_bits(weight: np.ndarray) -> Parts:
    """bitsandbytes: a code book, blocks of 64 of the flattened matrix."""
    book = np.linspace(-1, 1, 16, dtype=np.float32)
    blocks = weight.reshape(-1, 64)
    largest = np.abs(blocks).max(1)
    codes = np.abs(blocks[..., None] / largest[:, None, None] - book).argmin(2).ravel()
    state = json.dumps({"quant_type": "nf4", "blocksize": 64, "shape": weight.shape}).encode()
    return {
        "weight": (codes[::2] << 4 | codes[1::2]).astype(np.uint8)[:, None],
        "weight.absmax": largest,
        "weight.quant_map": book,
        "weight.quant_state.bitsandbytes__nf4": np.frombuffer(state, np.uint8),
    }


def eight_bits(weight: np.ndarray) -> Parts:
    largest = np.abs(weight).max(1)
    codes = np.round(weight / largest[:, None] * 127).astype(np.int8)
    return {"weight": codes, "SCB": largest, "weight_format": np.array(0, np.uint8)}


def symmetric(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """4-bit codes [rows, columns], 8 meaning 0, and float16 scales [rows, groups]."""
    groups = weight.reshape(len(weight), -1, GROUP)
    scales = (np.abs(groups).max(2) / 7.5).astype(np.float16)
    codes = np.round(groups / scales[..., None]).clip(-8, 7).reshape(weight.shape)
    return codes.astype(int) + 8, scales


def packed(weight: np.ndarray) -> Parts:
    """compressed-tensors: symmetric, 4 bits."""
    codes, scales = symmetric(weight)
    shape = np.array(weight.shape)
    return {"weight_packed": words(codes, 4), "weight_scale": scales, "weight_shape": shape}


def packed_act_order(weight: np.ndarray) -> Parts:
    together, back = in_groups(weight)
    codes, _ = symmetric(together)
    groups = scattered(weight.shape[1]).astype(np.int32)
    return packed(together) | {"weight_packed": words(codes[:, back], 4), "weight_g_idx": groups}


def signed_bytes(weight: np.ndarray) -> Parts:
    """compressed-tensors: int8, a scale a row."""
    scales = np.abs(weight).max(1, keepdims=True) / np.float32(127)
    return {"weight": np.round(weight / scales).astype(np.int8), "weight_scale": scales}


# The packer, the settings, and what each matrix stays in.
KINDS: dict[str, tuple[Callable[[np.ndarray], Parts], dict[str, Any], str]] = {
    "gptq": (gptq, {"bits": 4, "group_size": GROUP, "sym": False}, "int4-g32-offset"),
    "gptq-act-order": (
        gptq_act_order,
        {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": True},
        "int4-g32-offset",
    ),
    "awq": (awq, {"bits": 4, "group_size": GROUP, "version": "gemm"}, "int4-g32-offset"),
    "bitsandbytes-4": (four_bits, {"load_in_4bit": True}, "code4-g64"),
    "bitsandbytes-8": (eight_bits, {"load_in_8bit": True}, "int8"),
    "compressed-tensors-4": (packed, {"format": "pack-quantized"}, "int4-g32"),
    "compressed-tensors-4-act-order": (
        packed_act_order,
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
        "int4-g32",
    ),
    "compressed-tensors-8": (signed_bytes, {"format": "int-quantized"}, "int8"),
}


def write(folder: Path, kind: str) -> None:
    """A model folder whose linear layers are quantized."""
    pack, settings, _ = KINDS[kind]
    method = kind.rstrip("-48")
    config = CONFIG | {"quantization_config": {"quant_method": method} | settings}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(3)
    tensors = {
        "model.embed_tokens.weight": rng.normal(0, 1, (40, 64)).astype(np.float32),
        "model.norm.weight": np.ones(64, np.float32),
        "model.layers.0.input_layernorm.weight": np.ones(64, np.float32),
        "model.layers.0.post_attention_layernorm.weight": np.ones(64, np.float32),
    }
    for name, shape in LINEAR.items():
        weight = rng.normal(0.02, 1 / 8, shape).astype(np.float32)
        parts = pack(weight)
        tensors |= {f"model.layers.0.{name}.{part}": value for part, value in parts.items()}
    save_file(tensors, folder / "model.safetensors")
