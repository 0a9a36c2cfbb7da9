"""A decoder as data: what the exporter finds in a checkpoint and the runtime needs to run it."""

from dataclasses import dataclass
from typing import Any

from .fields import require, typed_fields


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding of one kind of layer; pairs are (j, j + dims/2) ("half-split").

    kind            default, linear, dynamic, llama3, yarn or longrope
    base            theta
    dims            rotated elements of a head; the rest pass through
    factor          context extension factor (linear, dynamic, llama3, yarn)
    original_context  positions the model was trained on (dynamic, llama3, yarn, longrope)
    low_freq, high_freq     llama3's wavelength limits
    beta_fast, beta_slow    yarn's ramp, in rotations
    attention_factor  what cos and sin are multiplied by (yarn, longrope); 1 otherwise
    truncate        yarn: whether the ramp's ends are rounded to whole dimensions
    short_factors, long_factors   longrope: per frequency divisors within / beyond original_context
    """

    base: float
    dims: int
    kind: str = "default"
    factor: float = 1.0
    original_context: int = 0
    low_freq: float = 1.0
    high_freq: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    truncate: bool = True
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()


@dataclass(frozen=True)
class DecoderConfig:
    """Everything that distinguishes one decoder-only transformer from another.

    Biases are not here: a matrix has one where the file holds its `.bias`.
    """

    architecture: str  # the family's name, for people
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int  # a multiple of 16
    feed_forward: int
    vocabulary: int
    context: int
    norm_epsilon: float
    attention_scale: float  # what q.k is multiplied by
    ropes: tuple[Rope, ...]
    layer_rope: tuple[int, ...]  # index into `ropes`, a layer
    layer_window: tuple[int, ...]  # tokens a layer attends to; 0 = all
    activation: str = "silu"  # silu, gelu (tanh form), relu2
    embedding_scale: float = 1.0
    attention_softcap: float = 0.0  # 0 = none
    logits_softcap: float = 0.0
    tied_embedding: bool = False
    qk_norm: bool = False  # RMS norm of every q and k head before RoPE
    post_norms: bool = False  # norms after attention and feed-forward, before the residual
    sub_norms: bool = False  # BitNet: norms before the output and down projections


ACTIVATIONS = ("silu", "gelu", "relu2")
ROPE_KINDS = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")
MAX_ROPES = 16
MAX_WIDTH = 2**16
MAX_VOCABULARY = 2**24


def from_json(document: dict[str, Any], where: str) -> DecoderConfig:
    """Read and check a decoder's configuration; `where` names the file in errors."""
    values = typed_fields(DecoderConfig, document, where)
    values["ropes"] = tuple(Rope(**typed_fields(Rope, r, where)) for r in values["ropes"])
    config = DecoderConfig(**values)
    _check(config, where)
    return config


def _check(c: DecoderConfig, where: str) -> None:
    """Relations between fields that the plan and the kernels rely on."""
    where = f"{where}: DecoderConfig"
    name, heads = c.architecture, (c.heads, c.kv_heads)
    require(where, name.isprintable() and len(name) <= 100, "architecture: a short line", name)
    require(where, 1 <= c.layers <= 1024, "1..1024 layers", c.layers)
    sizes = c.hidden, c.feed_forward, c.vocabulary, c.context
    require(where, min(sizes) >= 1, "hidden, feed_forward, vocabulary, context from 1", sizes)
    require(where, min(heads) >= 1, "heads and kv_heads from 1", heads)
    require(where, c.heads % c.kv_heads == 0, "heads a multiple of kv_heads", heads)
    dim = c.head_dim
    require(where, dim % 16 == 0 and 16 <= dim <= 1024, "head_dim of 16, 32 .. 1024", dim)
    # Products of int8 codes are summed in int32: 2**16 * 128 * 127 < 2**31.
    widths = c.hidden, c.feed_forward, c.heads * dim
    expected = f"hidden, feed_forward, heads * head_dim at most {MAX_WIDTH}"
    require(where, max(widths) <= MAX_WIDTH, expected, widths)
    expected = f"vocabulary at most {MAX_VOCABULARY}"
    require(where, c.vocabulary <= MAX_VOCABULARY, expected, c.vocabulary)
    listed = len(c.layer_rope), len(c.layer_window)
    expected = "layer_rope and layer_window with an entry a layer"
    require(where, listed == (c.layers, c.layers), expected, listed)
    require(where, 1 <= len(c.ropes) <= MAX_ROPES, f"1..{MAX_ROPES} ropes", len(c.ropes))
    expected = f"layer_rope within the {len(c.ropes)} ropes"
    require(where, max(c.layer_rope) < len(c.ropes), expected, max(c.layer_rope))
    expected = f"activation of {', '.join(ACTIVATIONS)}"
    require(where, c.activation in ACTIVATIONS, expected, c.activation)
    require(where, c.norm_epsilon >= 0, "norm_epsilon not negative", c.norm_epsilon)
    for i, rope in enumerate(c.ropes):
        _check_rope(rope, dim, f"{where}.ropes[{i}]")


def _check_rope(rope: Rope, head_dim: int, where: str) -> None:
    """What runtime/rope.py divides by, takes logarithms of, and what its kernel turns."""
    kind, dims, half = rope.kind, rope.dims, rope.dims // 2
    require(where, kind in ROPE_KINDS, f"kind of {', '.join(ROPE_KINDS)}", kind)
    even = dims == 2 * half and 2 <= dims <= head_dim
    require(where, even, f"dims even, from 2 to {head_dim}", dims)
    require(where, rope.base > 1, "base more than 1", rope.base)
    require(where, rope.factor > 0, "factor more than 0", rope.factor)
    if kind not in ("default", "linear"):
        context = rope.original_context
        require(where, context >= 1, "original_context from 1", context)
    if kind == "dynamic":
        require(where, dims > 2, "dims more than 2", dims)
    if kind == "llama3":
        ramp = rope.low_freq, rope.high_freq
        require(where, rope.low_freq < rope.high_freq, "low_freq below high_freq", ramp)
    if kind == "yarn":
        ramp = rope.beta_fast, rope.beta_slow
        require(where, min(ramp) >= 1e-6, "beta_fast and beta_slow from 1e-6", ramp)
    if kind == "longrope":
        counts = len(rope.short_factors), len(rope.long_factors)
        require(where, counts == (half, half), f"{half} short and long factors", counts)
        least = min(rope.short_factors + rope.long_factors)
        require(where, least > 0, "short and long factors more than 0", least)
