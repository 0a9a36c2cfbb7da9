"""Where a factor a channel can move from one tensor to the next and change nothing else.

    attention_norm    -> query, key, value
    value             -> output            (a key's head serves several queries' heads)
    feed_forward_norm -> gate, up
    up                -> down

An encoder's norms are read by the residual stream, too, and its up projection goes through GELU:
there value -> output remains, and up -> down where a ReLU lies between.

What a reader's columns are multiplied by, the rows of what is before it are divided by.  With
BitNet's norms before the output and down projections, those norms take the place of value and up.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.format.config import DecoderConfig

from ..weights import Weights


@dataclass(frozen=True)
class Fold:
    """readers  matrices that all read the same
    writers  tensors whose rows, or elements, are what the readers read
    heads    (kv heads, query heads a kv head, head_dim) where channels are shared, or None
    """

    readers: tuple[str, ...]
    writers: tuple[str, ...]
    heads: tuple[int, int, int] | None = None

    def spread(self, channels: np.ndarray) -> np.ndarray:
        """[channels of the writers] -> [columns of the readers]"""
        if self.heads is None:
            return channels
        kv_heads, shared, size = self.heads
        return np.repeat(channels.reshape(kv_heads, 1, size), shared, axis=1).ravel()

    def mean(self, columns: np.ndarray) -> np.ndarray:
        """[columns of the readers] -> [channels of the writers]"""
        if self.heads is None:
            return columns
        kv_heads, shared, size = self.heads
        mean: np.ndarray = columns.reshape(kv_heads, shared, size).mean(axis=1).ravel()
        return mean

    def apply(self, weights: Weights, channels: np.ndarray) -> None:
        """Multiply the readers' columns by factors of channels, float32 and positive."""
        columns = self.spread(channels)
        for name in self.readers:
            weights.multiply(name, None, columns)
        for name in self.writers:
            weights.multiply(name, 1 / channels, None)


def folds(weights: Weights, layer: int) -> Iterator[Fold]:
    """All of a layer's, in the order of the data."""
    config, stem = weights.model.config, f"layers.{layer}."
    if weights.model.kind == "encoder":
        heads = config.heads, 1, config.head_dim
        yield _after(weights, f"{stem}attention", "value", "output", heads)
        if config.activation == "relu":
            yield _after(weights, f"{stem}feed_forward", "up", "down", None)
        return
    yield _after_norm(f"{stem}attention", ("query", "key", "value"))
    yield _after(weights, f"{stem}attention", "value", "output", _heads(config))
    yield _after_norm(f"{stem}feed_forward", ("gate", "up"))
    yield _after(weights, f"{stem}feed_forward", "up", "down", None)


def _after_norm(stem: str, readers: tuple[str, ...]) -> Fold:
    return Fold(tuple(f"{stem}.{name}.weight" for name in readers), (f"{stem}_norm.weight",))


def _after(
    weights: Weights, stem: str, writer: str, reader: str, heads: tuple[int, int, int] | None
) -> Fold:
    readers = (f"{stem}.{reader}.weight",)
    if weights.model.kind == "decoder" and weights.model.config.sub_norms:
        return Fold(readers, (f"{stem}.sub_norm.weight",))
    parts = (f"{stem}.{writer}.{part}" for part in ("weight", "bias"))
    return Fold(readers, tuple(name for name in parts if name in weights), heads)


def _heads(config: DecoderConfig) -> tuple[int, int, int]:
    return config.kv_heads, config.heads // config.kv_heads, config.head_dim
