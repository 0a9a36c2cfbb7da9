"""A decoder in float64 NumPy that reads an .edge file: what the configuration means, in formulas."""

import ctypes
import math
from pathlib import Path

import numpy as np

from edge.format import spec, tiles
from edge.format.addends import PARTS
from edge.format.beside import addends, order
from edge.format.config import DecoderConfig, Rope
from edge.format.reader import EdgeFile

Weights = dict[str, np.ndarray]


def matrix(file: EdgeFile, name: str) -> np.ndarray:
    """float32 [rows, columns] of a stored matrix, dequantized, with what rides beside it, its
    columns in the order in which it reads them."""
    return addends(file, name.removesuffix(".weight")).add_to(alone(file, name))


def alone(file: EdgeFile, name: str) -> np.ndarray:
    """float32 [rows, columns] of a stored matrix without that."""
    info = file.info(name)
    form = spec.weight_format(info.format)
    rows, columns = info.shape
    packed = file.view(name).reshape(form.tiles(rows), -1)
    if form.is_float:
        return tiles.unpack_floats(packed, form.kind, rows, columns)
    return tiles.unpack(packed, form, rows, columns).dequantize()


def vector(file: EdgeFile, name: str) -> np.ndarray:
    return file.view(name).view("<f4")[: file.info(name).shape[0]]


def logits(path: Path, tokens: np.ndarray) -> np.ndarray:
    """float64 [tokens, vocabulary] of one pass over all tokens."""
    file = EdgeFile(path)
    weights = {}
    for name, info in file.tensors.items():
        stem, _, part = name.rpartition(".")
        if part == "in_order":
            weights[name] = order(file, stem)
        elif info.format != "bytes" and part not in PARTS:
            read = vector if info.format == "vector" else matrix
            weights[name] = read(file, name).astype(np.float64)
    return _Pass(file.config, weights, len(tokens)).logits(tokens)


class _Pass:
    """x is [tokens, hidden]; q, k and v are [tokens, heads, head_dim]."""

    def __init__(self, config: DecoderConfig, weights: Weights, tokens: int) -> None:
        self.c, self.w, self.n = config, weights, tokens

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        x = self.w["embedding.weight"][tokens] * self.c.embedding_scale
        for layer in range(self.c.layers):
            x = x + self.attention(x, layer)
            x = x + self.feed_forward(x, f"layers.{layer}.")
        x = self.norm("output_norm", x)
        output = "embedding.weight" if self.c.tied_embedding else "output.weight"
        return softcap(x @ self.w[output].T, self.c.logits_softcap)

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        """RMS norm; a model without the norm has x as it is."""
        if name + ".weight" not in self.w:
            return x
        mean = (x * x).mean(axis=-1, keepdims=True)
        return x / np.sqrt(mean + self.c.norm_epsilon) * self.w[name + ".weight"]

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        if f"{name}.in_order" in self.w:
            x = x[:, self.w[f"{name}.in_order"]]
        x = x * self.w.get(name + ".in_scale", 1.0)
        return x @ self.w[name + ".weight"].T + self.w.get(name + ".bias", 0.0)

    def attention(self, x: np.ndarray, layer: int) -> np.ndarray:
        at, c = f"layers.{layer}.", self.c
        h = self.norm(at + "attention_norm", x)
        q, k, v = (
            self.linear(f"{at}attention.{part}", h).reshape(self.n, -1, c.head_dim)
            for part in ("query", "key", "value")
        )
        turn = rotation(c.ropes[c.layer_rope[layer]], self.n)
        q = turn(self.norm(at + "attention.query_norm", q))
        k = turn(self.norm(at + "attention.key_norm", k))
        k, v = (np.repeat(part, c.heads // c.kv_heads, axis=1) for part in (k, v))
        scores = softcap(np.einsum("ihd,jhd->hij", q, k) * c.attention_scale, c.attention_softcap)
        shares = softmax(np.where(self.seen(c.layer_window[layer]), scores, -np.inf))
        mixed = np.einsum("hij,jhd->ihd", shares, v).reshape(self.n, -1)
        out = self.linear(at + "attention.output", self.norm(at + "attention.sub_norm", mixed))
        return self.norm(at + "attention_post_norm", out)

    def seen(self, window: int) -> np.ndarray:
        """bool [tokens, tokens]: which keys each query sees."""
        behind = np.subtract.outer(np.arange(self.n), np.arange(self.n))
        return (behind >= 0) & ((behind < window) | (window == 0))

    def feed_forward(self, x: np.ndarray, at: str) -> np.ndarray:
        h = self.norm(at + "feed_forward_norm", x)
        gate = ACTIVATIONS[self.c.activation](self.linear(at + "feed_forward.gate", h))
        h = gate * self.linear(at + "feed_forward.up", h)
        out = self.linear(at + "feed_forward.down", self.norm(at + "feed_forward.sub_norm", h))
        return self.norm(at + "feed_forward_post_norm", out)


ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
}


def softcap(x: np.ndarray, cap: float) -> np.ndarray:
    return cap * np.tanh(x / cap) if cap else x


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def rotation(rope: Rope, tokens: int):
    """The function that turns [tokens, heads, head_dim] by position."""
    angles = np.outer(np.arange(tokens), frequencies(rope, tokens))[:, None]
    cos, sin = np.cos(angles) * rope.attention_factor, np.sin(angles) * rope.attention_factor
    half = rope.dims // 2

    def turn(x: np.ndarray) -> np.ndarray:
        a, b, rest = np.split(x, [half, rope.dims], axis=-1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)

    return turn


def frequencies(rope: Rope, tokens: int) -> np.ndarray:
    """float64 [dims / 2], radians a token, as transformers' modeling_rope_utils.py."""
    base, trained = rope.base, rope.original_context
    if rope.kind == "dynamic":
        growth = rope.factor * max(tokens, trained) / trained - (rope.factor - 1)
        base *= growth ** (rope.dims / (rope.dims - 2))
    plain = base ** (-np.arange(0, rope.dims, 2) / rope.dims)
    if rope.kind == "linear":
        return plain / rope.factor
    if rope.kind == "longrope":
        return plain / (rope.long_factors if tokens > trained else rope.short_factors)
    if rope.kind == "llama3":
        return _blend(plain, rope, _llama3_share(plain, rope))
    if rope.kind == "yarn":
        return _blend(plain, rope, _yarn_share(rope))
    return plain


def _blend(plain: np.ndarray, rope: Rope, kept: np.ndarray) -> np.ndarray:
    return plain * kept + plain / rope.factor * (1 - kept)


def _llama3_share(plain: np.ndarray, rope: Rope) -> np.ndarray:
    turns = rope.original_context * plain / (2 * math.pi)
    return np.clip((turns - rope.low_freq) / (rope.high_freq - rope.low_freq), 0, 1)


def _yarn_share(rope: Rope) -> np.ndarray:
    def dimension(turns: float) -> float:
        wavelengths = rope.original_context / (turns * 2 * math.pi)
        return rope.dims * math.log(wavelengths) / (2 * math.log(rope.base))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dims - 1)
    ramp = (np.arange(rope.dims // 2) - low) / ((high - low) or 0.001)
    return 1 - np.clip(ramp, 0, 1)


def memory(address: int, rows: int, stride: int) -> np.ndarray:
    """float32 [rows, stride / 4] at an address."""
    floats = (ctypes.c_float * (rows * stride // 4)).from_address(address)
    return np.ctypeslib.as_array(floats).reshape(rows, -1)
