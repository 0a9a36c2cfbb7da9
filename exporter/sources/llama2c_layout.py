"""Where llama2.c checkpoints keep what: float32 files of version 0, and BitLlama's ternary files.

Version 0 (llama2.c, legacy_export):
    int32 dim, hidden_dim, layers, heads, kv_heads, vocabulary (< 0: own output matrix), context
    float32 embedding, then for all layers each of: attention norm, wq, wk, wv, wo, ffn norm, w1,
    w2, w3; final norm; two RoPE tables (unused); the output matrix if it has its own

BitLlama (bitllama2.c), a network without other norms than the last: every linear layer works on
x / (||x|| sqrt(n)), which is rms_norm(x) with the weight 1 / n.
    uint32 magic "ak42", int32 version 1, the seven numbers, uint8 shared output; 256 bytes
    float32 final norm, embedding, then for all layers each of wq, wk, wv, wo, w1, w2, w3:
    float32 scale and 2-bit codes, highest bits first: 00 = 0, 01 = 1, 11 = -1
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import SourceError, UnsupportedModel

MAGIC = b"24ka"  # "ak42" as a little-endian uint32
FLOAT_HEADER_BYTES = 28
TERNARY_HEADER_BYTES = 256
MAX_LAYERS = 1024
NO_EPSILON = 1e-12  # BitLlama divides by the norm itself


@dataclass(frozen=True)
class Header:
    dim: int
    hidden_dim: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    shared: bool  # whether the embedding is the output matrix too
    ternary: bool

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """The linear layers in file order: checkpoint name and [rows, columns]."""
        kv_dim = self.head_dim * self.kv_heads
        return {
            "self_attn.q_proj": (self.dim, self.dim),
            "self_attn.k_proj": (kv_dim, self.dim),
            "self_attn.v_proj": (kv_dim, self.dim),
            "self_attn.o_proj": (self.dim, self.dim),
            "mlp.gate_proj": (self.hidden_dim, self.dim),
            "mlp.down_proj": (self.dim, self.hidden_dim),
            "mlp.up_proj": (self.hidden_dim, self.dim),
        }

    @property
    def implied_norms(self) -> dict[str, int]:
        """BitLlama's norms without parameters: checkpoint name and width."""
        return {
            "input_layernorm": self.dim,
            "self_attn.attn_sub_norm": self.dim,
            "post_attention_layernorm": self.dim,
            "mlp.ffn_sub_norm": self.hidden_dim,
        }


@dataclass(frozen=True)
class Place:
    """A tensor's shape and first byte; without a start every element is `constant`."""

    shape: tuple[int, ...]
    start: int | None = None
    ternary: bool = False
    constant: float = 0.0

    @property
    def nbytes(self) -> int:
        elements = math.prod(self.shape)
        return 4 + -(-elements // 4) if self.ternary else 4 * elements


def read_header(path: Path, head: bytes) -> Header:
    ternary = head[:4] == MAGIC
    needed = TERNARY_HEADER_BYTES if ternary else FLOAT_HEADER_BYTES
    if len(head) < needed:
        raise SourceError(f"{path}: a llama2.c header of {needed} bytes, the file has {len(head)}")
    if ternary:
        version, *numbers, shared = struct.unpack_from("<i7i?", head, len(MAGIC))
        if version != 1:
            raise UnsupportedModel(f"{path}: llama2.c format {version}; edge reads 0 and BitLlama")
    else:
        numbers = list(struct.unpack_from("<7i", head))
        shared = numbers[5] > 0
    dim, hidden_dim, layers, heads, kv_heads, vocabulary, context = numbers
    header = Header(
        dim, hidden_dim, layers, heads, kv_heads, abs(vocabulary), context, shared, ternary
    )
    _check(header, path)
    return header


def _check(h: Header, path: Path) -> None:
    sizes = (h.dim, h.hidden_dim, h.layers, h.heads, h.kv_heads, h.vocabulary, h.context)
    if min(sizes) < 1 or h.layers > MAX_LAYERS or h.dim % (2 * h.heads) or h.heads % h.kv_heads:
        raise SourceError(f"{path}: not a llama2.c checkpoint: its header reads {h}")


def places(header: Header, path: Path, file_size: int) -> dict[str, Place]:
    """Every tensor of the file, and the implied ones; the file must end where they do."""
    found = {}
    end = TERNARY_HEADER_BYTES if header.ternary else FLOAT_HEADER_BYTES
    for name, shape in _stored(header):
        place = Place(shape, end, ternary=header.ternary and ".layers." in name)
        end += place.nbytes
        if name != ROPE_TABLES:
            found[name] = place
    if end != file_size:
        kind = "BitLlama" if header.ternary else "llama2.c version 0"
        raise SourceError(f"{path}: as {kind}: expected {end} bytes, found {file_size}")
    return found | (_implied(header) if header.ternary else {})


ROPE_TABLES = ""


def _stored(h: Header) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in file order."""
    embedding = ("model.embed_tokens.weight", (h.vocabulary, h.dim))
    final_norm = ("model.norm.weight", (h.dim,))
    matrices = list(h.matrices.items())
    if h.ternary:
        yield from [final_norm, embedding]
        yield from _of_all_layers(h, matrices)
    else:
        yield embedding
        yield from _of_all_layers(h, [("input_layernorm", (h.dim,)), *matrices[:4]])
        yield from _of_all_layers(h, [("post_attention_layernorm", (h.dim,)), *matrices[4:]])
        yield final_norm
        yield ROPE_TABLES, (h.context, h.head_dim)
    if not h.shared:
        yield "lm_head.weight", (h.vocabulary, h.dim)


def _of_all_layers(
    h: Header, parts: list[tuple[str, Any]]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part, shape in parts:
        for layer in range(h.layers):
            yield f"model.layers.{layer}.{part}.weight", shape


def _implied(h: Header) -> dict[str, Place]:
    return {
        f"model.layers.{layer}.{name}.weight": Place((width,), constant=1 / width)
        for layer in range(h.layers)
        for name, width in h.implied_norms.items()
    }


def hugging_face_config(h: Header) -> dict[str, Any]:
    """The keys of config.json."""
    return {
        "model_type": "bitnet" if h.ternary else "llama",
        "hidden_size": h.dim,
        "intermediate_size": h.hidden_dim,
        "num_hidden_layers": h.layers,
        "num_attention_heads": h.heads,
        "num_key_value_heads": h.kv_heads,
        "head_dim": h.head_dim,
        "max_position_embeddings": h.context,
        "vocab_size": h.vocabulary,
        "rms_norm_eps": NO_EPSILON if h.ternary else 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": h.shared,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": [1, 2],  # stories end where the next begins
    }
