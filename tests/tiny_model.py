"""A seeded two-layer model with a byte-level tokenizer and a chat template, as an .edge file."""

from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from edge.format.config import DecoderConfig, Rope
from edge.format.writer import EdgeWriter

SPECIAL = ("<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
BEGIN, END = 256, 257
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message.role }}|>{{ message.content }}{% endfor %}<|assistant|>"
)
CONFIG = DecoderConfig(
    architecture="llama",
    layers=2,
    hidden=64,
    heads=4,
    kv_heads=2,
    head_dim=16,
    feed_forward=96,
    vocabulary=272,  # more than the tokenizer has, as in many models
    context=256,
    norm_epsilon=1e-5,
    attention_scale=0.25,
    ropes=(Rope(10000.0, 16),),
    layer_rope=(0, 0),
    layer_window=(0, 0),
)


def tokenizer() -> Tokenizer:
    """One token a byte, and the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    return made


def write(
    path: Path,
    *,
    seed: int = 0,
    template: str | None = TEMPLATE,
    pattern: bytes | None = None,
    generation: dict | None = None,
) -> Path:
    random = np.random.default_rng(seed)
    with EdgeWriter(path, tensors=32) as writer:
        for name, rows, columns in _matrices():
            weights = random.standard_normal((rows, columns)) / np.sqrt(columns)
            writer.add_float_matrix(f"{name}.weight", weights.astype(np.float32), "float32")
        for name in _norms():
            writer.add_vector(f"{name}.weight", np.ones(CONFIG.hidden, np.float32))
        writer.add_bytes("tokenizer.json", tokenizer().to_str().encode())
        if template is not None:
            writer.add_bytes("chat_template.jinja", template.encode())
        if pattern is not None:
            writer.add_bytes("chat_pattern.json", pattern)
        writer.document = {
            "kind": "decoder",
            "config": CONFIG,
            "recipe": "float32",
            "source": {"name": "tiny", "sha256": f"{seed:064x}"},
            "parameters": sum(rows * columns for _, rows, columns in _matrices()),
            "tokenizer": {"bos": BEGIN, "eos": [END], "add_bos": True},
            "generation": generation,
        }
    return path


def _matrices() -> list[tuple[str, int, int]]:
    c = CONFIG
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    matrices = [("embedding", c.vocabulary, c.hidden), ("output", c.vocabulary, c.hidden)]
    for i in range(c.layers):
        matrices += [
            (f"layers.{i}.attention.query", q, c.hidden),
            (f"layers.{i}.attention.key", kv, c.hidden),
            (f"layers.{i}.attention.value", kv, c.hidden),
            (f"layers.{i}.attention.output", c.hidden, q),
            (f"layers.{i}.feed_forward.gate", c.feed_forward, c.hidden),
            (f"layers.{i}.feed_forward.up", c.feed_forward, c.hidden),
            (f"layers.{i}.feed_forward.down", c.hidden, c.feed_forward),
        ]
    return matrices


def _norms() -> list[str]:
    layers = range(CONFIG.layers)
    names = [f"layers.{i}.{n}_norm" for i in layers for n in ("attention", "feed_forward")]
    return [*names, "output_norm"]
