"""A decoder as data: what the exporter finds in a checkpoint and the runtime needs to run it."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from edge.errors import FormatError


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


def to_json(config: DecoderConfig) -> dict[str, Any]:
    return asdict(config)


def from_json(document: dict[str, Any], where: str) -> DecoderConfig:
    """Read and check a decoder's configuration; `where` names the file in errors."""
    values = _fields(DecoderConfig, document, where)
    values["ropes"] = tuple(Rope(**_fields(Rope, r, where)) for r in values["ropes"])
    config = DecoderConfig(**values)
    _check(config, where)
    return config


def _fields(cls: type, document: Any, where: str) -> dict[str, Any]:
    """Keyword arguments for `cls`, each of the type its annotation names."""
    if not isinstance(document, dict):
        raise FormatError(f"{where}: {cls.__name__} is not a JSON object")
    known = {f.name: str(f.type) for f in fields(cls)}
    for unknown in document.keys() - known.keys():
        raise FormatError(f"{where}: unknown field {unknown!r} in {cls.__name__}")
    values = {}
    for name, value in document.items():
        values[name] = _typed(value, known[name], f"{where}: {cls.__name__}.{name}")
    required = {f.name for f in fields(cls) if f.default is f.default_factory}
    for missing in sorted(required - values.keys()):
        raise FormatError(f"{where}: {cls.__name__} lacks {missing!r}")
    return values


def _typed(value: Any, annotation: str, where: str) -> Any:
    wanted = annotation.replace("__main__.", "")
    if "tuple" in wanted:
        if not isinstance(value, list) or len(value) > 4096:
            raise FormatError(f"{where}: expected a list of at most 4096, found {value!r:.60}")
        if "Rope" in wanted:
            return tuple(value)
        kind = "float" if "float" in wanted else "int"
        return tuple(_scalar(v, kind, where) for v in value)
    for kind in ("bool", "int", "float", "str"):
        if kind in wanted:
            return _scalar(value, kind, where)
    raise AssertionError(annotation)


def _scalar(value: Any, kind: str, where: str) -> Any:
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value).__name__ != kind:
        raise FormatError(f"{where}: expected {kind}, found {value!r:.60}")
    if kind == "int" and not 0 <= value < 2**31:
        raise FormatError(f"{where}: expected 0..2**31-1, found {value}")
    if kind == "float" and not abs(value) < 1e30:
        raise FormatError(f"{where}: expected a finite number, found {value}")
    return value


def _check(c: DecoderConfig, where: str) -> None:
    """Relations between fields that the plan and the kernels rely on."""
    rules = {
        "1 <= layers <= 1024": 1 <= c.layers <= 1024,
        "hidden, feed_forward, vocabulary and context at least 1": min(
            c.hidden, c.feed_forward, c.vocabulary, c.context
        )
        >= 1,
        "heads a multiple of kv_heads": c.kv_heads >= 1 and c.heads % c.kv_heads == 0,
        "at least one head": c.heads >= 1,
        "head_dim a multiple of 16, at most 1024": 16 <= c.head_dim <= 1024
        and c.head_dim % 16 == 0,
        "one rope and one window a layer": len(c.layer_rope) == len(c.layer_window) == c.layers,
        "layer_rope within ropes": all(i < len(c.ropes) for i in c.layer_rope),
        "a known activation": c.activation in ACTIVATIONS,
        "norm_epsilon positive": c.norm_epsilon >= 0,
    }
    for rope in c.ropes:
        rules["rope dims even and within head_dim"] = (
            rope.dims % 2 == 0 and 2 <= rope.dims <= c.head_dim
        )
        rules["a known rope kind"] = rope.kind in ROPE_KINDS
        rules["rope base and factor positive"] = rope.base > 0 and rope.factor > 0
    for rule, holds in rules.items():
        if not holds:
            raise FormatError(f"{where}: the configuration breaks the rule: {rule}")
