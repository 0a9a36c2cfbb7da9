"""A source model held in memory, and the golden checkpoints as such."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from edge.exporter.sources import Generation, TokenizerFiles
from edge.format.formats import QuantizedTensor

GOLDEN = Path(__file__).parents[1] / "golden"
GOLDENS = sorted(path.parent.name for path in GOLDEN.glob("*/config_v5.json"))


@dataclass
class MemorySource:
    """Implements edge.exporter.sources.Source; `on_grid` has tensors that are quantized."""

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    on_grid: dict[str, QuantizedTensor] = field(default_factory=dict)
    norms_are_folded: bool = False
    grids_are_exact: bool = True
    reorders: bool = False
    generation: Generation = field(default_factory=Generation)
    tokenizer_files: TokenizerFiles | None = None
    name: str = "test model"

    def digest(self) -> str:
        return "0" * 64

    def names(self) -> Iterable[str]:
        return [*self.tensors, *self.on_grid]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.on_grid[name].shape if name in self.on_grid else self.tensors[name].shape

    def stored_type(self, name: str) -> str:
        return str(self.on_grid[name].format) if name in self.on_grid else "F32"

    def read(self, name: str) -> np.ndarray:
        if name in self.on_grid:
            return self.on_grid[name].dequantize()
        return self.tensors[name].astype(np.float32)

    def kept(self, name: str) -> QuantizedTensor | None:
        return self.on_grid.get(name)

    def tokenizer(self) -> TokenizerFiles | None:
        return self.tokenizer_files


def golden(name: str, config: str = "config.json") -> MemorySource:
    """A checkpoint of tests/golden, under its old or its new configuration."""
    folder = GOLDEN / name
    keys = json.loads((folder / config).read_text())
    return MemorySource(keys, load_file(folder / "model.safetensors"), name=name)


def tiny_llama(head_dim: int = 16, **keys: Any) -> MemorySource:
    """One layer of 4 query and 2 key heads with random weights, hidden 32."""
    config = {
        "model_type": "llama",
        "head_dim": head_dim,
        "hidden_size": 32,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "vocab_size": 40,
    }
    layer, feed_forward = "model.layers.0.", keys.get("intermediate_size", 48)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (40, 32),
        "model.norm.weight": (32,),
        layer + "input_layernorm.weight": (32,),
        layer + "self_attn.q_proj.weight": (4 * head_dim, 32),
        layer + "self_attn.k_proj.weight": (2 * head_dim, 32),
        layer + "self_attn.v_proj.weight": (2 * head_dim, 32),
        layer + "self_attn.o_proj.weight": (32, 4 * head_dim),
        layer + "post_attention_layernorm.weight": (32,),
        layer + "mlp.gate_proj.weight": (feed_forward, 32),
        layer + "mlp.up_proj.weight": (feed_forward, 32),
        layer + "mlp.down_proj.weight": (32, feed_forward),
    }
    rng = np.random.default_rng(7)
    tensors = {n: rng.normal(0, 0.2, s).astype(np.float32) for n, s in shapes.items()}
    return MemorySource(config | keys, tensors)
