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
MAX_ROPES = 16
MAX_WIDTH = 2**16
MAX_VOCABULARY = 2**24


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
        raise FormatError(f"{where}: unknown field {unknown!r:.80} in {cls.__name__}")
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
    if kind == "float" and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value).__name__ != kind:
        raise FormatError(f"{where}: expected {kind}, found {value!r:.60}")
    if kind == "int" and not 0 <= value < 2**31:
        raise FormatError(f"{where}: expected 0..2**31-1, found {value!r:.40}")
    if kind == "float" and not abs(value) < 1e30:
        raise FormatError(f"{where}: expected a finite number, found {value}")
    return value


def _check(c: DecoderConfig, where: str) -> None:
    """Relations between fields that the plan and the kernels rely on."""
    where = f"{where}: DecoderConfig"
    name, heads = c.architecture, (c.heads, c.kv_heads)
    _require(where, name.isprintable() and len(name) <= 100, "architecture: a short line", name)
    _require(where, 1 <= c.layers <= 1024, "1..1024 layers", c.layers)
    sizes = c.hidden, c.feed_forward, c.vocabulary, c.context
    _require(where, min(sizes) >= 1, "hidden, feed_forward, vocabulary, context from 1", sizes)
    _require(where, min(heads) >= 1, "heads and kv_heads from 1", heads)
    _require(where, c.heads % c.kv_heads == 0, "heads a multiple of kv_heads", heads)
    dim = c.head_dim
    _require(where, dim % 16 == 0 and 16 <= dim <= 1024, "head_dim of 16, 32 .. 1024", dim)
    # Products of int8 codes are summed in int32: 2**16 * 128 * 127 < 2**31.
    widths = c.hidden, c.feed_forward, c.heads * dim
    expected = f"hidden, feed_forward, heads * head_dim at most {MAX_WIDTH}"
    _require(where, max(widths) <= MAX_WIDTH, expected, widths)
    expected = f"vocabulary at most {MAX_VOCABULARY}"
    _require(where, c.vocabulary <= MAX_VOCABULARY, expected, c.vocabulary)
    listed = len(c.layer_rope), len(c.layer_window)
    expected = "layer_rope and layer_window with an entry a layer"
    _require(where, listed == (c.layers, c.layers), expected, listed)
    _require(where, 1 <= len(c.ropes) <= MAX_ROPES, f"1..{MAX_ROPES} ropes", len(c.ropes))
    expected = f"layer_rope within the {len(c.ropes)} ropes"
    _require(where, max(c.layer_rope) < len(c.ropes), expected, max(c.layer_rope))
    expected = f"activation of {', '.join(ACTIVATIONS)}"
    _require(where, c.activation in ACTIVATIONS, expected, c.activation)
    _require(where, c.norm_epsilon >= 0, "norm_epsilon not negative", c.norm_epsilon)
    for i, rope in enumerate(c.ropes):
        _check_rope(rope, dim, f"{where}.ropes[{i}]")


def _check_rope(rope: Rope, head_dim: int, where: str) -> None:
    """What runtime/rope.py divides by, takes logarithms of, and what its kernel turns."""
    kind, dims, half = rope.kind, rope.dims, rope.dims // 2
    _require(where, kind in ROPE_KINDS, f"kind of {', '.join(ROPE_KINDS)}", kind)
    even = dims == 2 * half and 2 <= dims <= head_dim
    _require(where, even, f"dims even, from 2 to {head_dim}", dims)
    _require(where, rope.base > 1, "base more than 1", rope.base)
    _require(where, rope.factor > 0, "factor more than 0", rope.factor)
    if kind not in ("default", "linear"):
        context = rope.original_context
        _require(where, context >= 1, "original_context from 1", context)
    if kind == "dynamic":
        _require(where, dims > 2, "dims more than 2", dims)
    if kind == "llama3":
        ramp = rope.low_freq, rope.high_freq
        _require(where, rope.low_freq < rope.high_freq, "low_freq below high_freq", ramp)
    if kind == "yarn":
        ramp = rope.beta_fast, rope.beta_slow
        _require(where, min(ramp) >= 1e-6, "beta_fast and beta_slow from 1e-6", ramp)
    if kind == "longrope":
        counts = len(rope.short_factors), len(rope.long_factors)
        _require(where, counts == (half, half), f"{half} short and long factors", counts)
        least = min(rope.short_factors + rope.long_factors)
        _require(where, least > 0, "short and long factors more than 0", least)


def _require(where: str, holds: bool, expected: str, found: Any) -> None:
    if not holds:
        raise FormatError(f"{where}: expected {expected}, found {found!r:.100}")
