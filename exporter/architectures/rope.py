"""RoPE of a config.json, as transformers 5 writes it (`rope_parameters`) and as 4 did.

Formulas and defaults are those of transformers' modeling_rope_utils.py.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edge.errors import SourceError, UnsupportedModel
from edge.format.config import Rope

from .keys import Keys

THETA = 1e4
TRAINED_CONTEXT = "original_max_position_embeddings"


def rope(keys: Keys, head_dim: int, *, renamed: dict[str, str] | None = None) -> Rope:
    """The RoPE of a model that has one; `renamed` maps older names of RoPE types to today's."""
    inner = keys.under("rope_scaling" if "rope_scaling" in keys else "rope_parameters")
    # Where both levels have a key: theta and the rotated part as the inner one says, the
    # context of the training as the outer one does.
    outer = keys.present("rope_theta", "partial_rotary_factor")
    values = outer | inner.present() | keys.present(TRAINED_CONTEXT)
    context = keys.integer("max_position_embeddings")
    found = scaled(Keys(values, inner.where), head_dim, context, renamed)
    return _divided(found, keys) if "rope_frequency_factors" in keys else found


def scaled(
    parameters: Keys, head_dim: int, context: int, renamed: dict[str, str] | None = None
) -> Rope:
    """One RoPE from {rope_type, rope_theta, factor, ...}."""
    kind = parameters.text("rope_type", parameters.text("type", "default"))
    kind = (renamed or {}).get(kind, kind)
    if kind not in KINDS:
        raise UnsupportedModel(
            f"{parameters.where}: RoPE type {kind!r:.60}; edge has {', '.join(KINDS)}"
        )
    dims = _rotated(parameters, head_dim)
    fields = KINDS[kind](parameters, context, dims)
    return Rope(parameters.positive("rope_theta", THETA), dims, kind, **fields)


def _rotated(parameters: Keys, head_dim: int) -> int:
    """Elements of a head that turn; GGUF's factor is a quotient, which may fall short by an ulp."""
    dims = int(head_dim * parameters.positive("partial_rotary_factor", 1.0) + 1e-6)
    if dims < 2 or dims % 2 or dims > head_dim:
        raise SourceError(
            f"{parameters.where}: RoPE over {dims} of {head_dim} elements of a head, "
            "expected an even number of them"
        )
    return dims


def _divided(found: Rope, keys: Keys) -> Rope:
    """GGUF's rope_freqs.weight: each frequency is divided by a number of its own."""
    if found.kind not in ("default", "linear"):
        raise UnsupportedModel(f"{keys.where}: RoPE type {found.kind!r} and frequency factors")
    factors = keys.numbers("rope_frequency_factors", found.dims // 2)
    divisors = tuple(found.factor * f for f in factors)
    return replace(
        found,
        kind="longrope",
        factor=1.0,
        original_context=keys.integer("max_position_embeddings"),
        short_factors=divisors,
        long_factors=divisors,
    )


def _default(p: Keys, context: int, dims: int) -> dict[str, Any]:
    return {}


def _linear(p: Keys, context: int, dims: int) -> dict[str, Any]:
    return {"factor": p.positive("factor")}


def _dynamic(p: Keys, context: int, dims: int) -> dict[str, Any]:
    """NTK by length; what counts is the context of the config, not the trained one."""
    return {"factor": p.positive("factor"), "original_context": context}


def _llama3(p: Keys, context: int, dims: int) -> dict[str, Any]:
    return {
        "factor": p.positive("factor"),
        "low_freq": p.positive("low_freq_factor"),
        "high_freq": p.positive("high_freq_factor"),
        "original_context": p.integer(TRAINED_CONTEXT, context),
    }


def _yarn(p: Keys, context: int, dims: int) -> dict[str, Any]:
    """YaRN (arXiv:2309.00071)."""
    trained = p.integer(TRAINED_CONTEXT, context)
    factor = p.positive("factor", context / trained)
    return {
        "factor": factor,
        "original_context": trained,
        "beta_fast": p.number("beta_fast", 0.0) or 32.0,
        "beta_slow": p.number("beta_slow", 0.0) or 1.0,
        "attention_factor": p.number("attention_factor", _yarn_attention_factor(p, factor)),
        "truncate": p.flag("truncate", True),
    }


def _yarn_attention_factor(p: Keys, factor: float) -> float:
    def m(k: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * k * math.log(factor) + 1.0

    mscale, all_dim = p.number("mscale", 0.0), p.number("mscale_all_dim", 0.0)
    return m(mscale) / m(all_dim) if mscale and all_dim else m(1.0)


def _longrope(p: Keys, context: int, dims: int) -> dict[str, Any]:
    """LongRoPE (arXiv:2402.13753)."""
    trained = p.integer(TRAINED_CONTEXT, context)
    extension = p.positive("factor", context / trained)
    expected = 1.0
    if extension > 1 and trained > 1:
        expected = math.sqrt(1 + math.log(extension) / math.log(trained))
    return {
        "original_context": trained,
        "attention_factor": p.number("attention_factor", expected),
        "short_factors": p.numbers("short_factor", dims // 2),
        "long_factors": p.numbers("long_factor", dims // 2),
    }


KINDS: dict[str, Callable[[Keys, int, int], dict[str, Any]]] = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}
