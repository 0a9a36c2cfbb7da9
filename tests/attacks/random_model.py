"""Random decoders of all shapes that a header may name: odd widths, mixed formats, few tokens."""

from dataclasses import replace
from pathlib import Path
from random import Random

from edge.format.config import ACTIVATIONS, DecoderConfig, Rope
from tests.format import small_file
from tests.format.test_formats import NAMES as FORMATS

Tensors = dict[str, tuple[str, tuple[int, ...]]]


def random_config(random: Random) -> DecoderConfig:
    head_dim = random.choice([16, 32, 48, 64])
    kv_heads, group = random.randint(1, 3), random.randint(1, 5)
    ropes = tuple(Rope(10000.0, random.choice([2, 10, head_dim])) for _ in range(2))
    return replace(
        small_file.CONFIG,
        hidden=random.choice([1, 16, 33, 64, 80, 130, 256, 272]),
        feed_forward=random.choice([1, 48, 81, 100, 257]),
        vocabulary=random.choice([1, 15, 17, 40, 64]),
        heads=kv_heads * group,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ropes=ropes,
        layers=2,
        layer_rope=(0, 1),
        layer_window=(0, random.choice([1, 5, 16, 2**31 - 1])),
        activation=random.choice(ACTIVATIONS),
        attention_softcap=random.choice([0.0, 30.0]),
        logits_softcap=random.choice([0.0, 30.0]),
        tied_embedding=random.random() < 0.5,
        qk_norm=random.random() < 0.5,
        post_norms=random.random() < 0.5,
        sub_norms=random.random() < 0.5,
    )


def tensors_of(c: DecoderConfig, random: Random) -> Tensors:
    """What the configuration asks for, each matrix in a format of its own, some with a bias."""
    tensors: Tensors = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        tensors[f"{name}.weight"] = random.choice(FORMATS), (rows, columns)
        if name != "embedding" and random.random() < 0.3:
            count = random.choice([1, 3, 100])
            tensors.update(small_file.with_addends(tensors, name, count))
        if name != "embedding" and random.random() < 0.3:
            tensors.update(small_file.with_order(tensors, name))
        if random.random() < 0.3:
            tensors[f"{name}.bias"] = "vector", (rows,)

    def norm(name: str, size: int, wanted: bool = True) -> None:
        if wanted:
            tensors[f"{name}.weight"] = "vector", (size,)

    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    matrix("embedding", c.vocabulary, c.hidden)
    for layer in range(c.layers):
        attention, feed_forward = f"layers.{layer}.attention", f"layers.{layer}.feed_forward"
        for name, rows in (("query", queries), ("key", keys), ("value", keys)):
            matrix(f"{attention}.{name}", rows, c.hidden)
        matrix(f"{attention}.output", c.hidden, queries)
        for name in ("gate", "up"):
            matrix(f"{feed_forward}.{name}", c.feed_forward, c.hidden)
        matrix(f"{feed_forward}.down", c.hidden, c.feed_forward)
        for branch, width in ((attention, queries), (feed_forward, c.feed_forward)):
            norm(f"{branch}_norm", c.hidden)
            norm(f"{branch}_post_norm", c.hidden, c.post_norms)
            norm(f"{branch}.sub_norm", width, c.sub_norms)
        for name in ("query", "key"):
            norm(f"{attention}.{name}_norm", c.head_dim, c.qk_norm)
    norm("output_norm", c.hidden)
    if not c.tied_embedding:
        matrix("output", c.vocabulary, c.hidden)
    return tensors


def write(path: Path, seed: int) -> DecoderConfig:
    random = Random(seed)
    config = random_config(random)
    small_file.write(path, {"config": config}, tensors_of(config, random))
    return config
