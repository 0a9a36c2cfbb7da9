"""Attention, and what rotates its queries and keys."""

from math import sqrt
from typing import Any

import numpy as np

from .matmul import matmul
from .registry import op
from .types import held


def by_head(x: np.ndarray, heads: int | None) -> np.ndarray:
    """[N, heads, S, D] of [N, S, heads x D], or of what is so already."""
    if x.ndim == 4:
        return x
    if heads is None:
        raise ValueError("queries, keys and values of rank 3 need the numbers of heads")
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _allowed(
    q: np.ndarray, k: np.ndarray, before: np.ndarray, causal: int, left: int, right: int
) -> np.ndarray:
    """Which keys a query may see, bool [N or 1, 1, S, T]; `before` keys precede the first query."""
    at = np.arange(q.shape[2])[:, None] + before.reshape(-1, 1, 1, 1)
    ahead = np.arange(k.shape[2]) - at
    seen = np.ones(ahead.shape, bool)
    if causal:
        seen &= ahead <= 0
    if left >= 0:
        seen &= ahead >= -left
    if right >= 0:
        seen &= ahead <= right
    return seen


def _masked(
    scores: np.ndarray, mask: np.ndarray | None, seen: np.ndarray, lengths: np.ndarray | None
) -> np.ndarray:
    keys = scores.shape[-1]
    if mask is not None:
        absent = False if mask.dtype == bool else -np.inf
        short = [(0, 0)] * (mask.ndim - 1) + [(0, max(0, keys - mask.shape[-1]))]
        mask = np.pad(mask, short, constant_values=absent)
        if mask.dtype == bool:
            seen = seen & mask
        else:
            scores = scores + mask
    if lengths is not None:
        seen = seen & (np.arange(keys) < lengths.reshape(-1, 1, 1, 1))
    return np.where(seen, scores, scores.dtype.type(-np.inf))


def shares(scores: np.ndarray) -> np.ndarray:
    """Softmax; 0 for a query that sees nothing."""
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    powers = np.exp(scores - np.where(np.isneginf(largest), scores.dtype.type(0), largest))
    total = powers.sum(axis=-1, keepdims=True)
    return powers / np.where(total == 0, scores.dtype.type(1), total)


def _before(q: np.ndarray, past: np.ndarray | None, lengths: np.ndarray | None) -> np.ndarray:
    if past is not None:
        return np.array(past.shape[2])
    return np.array(0) if lengths is None else lengths - q.shape[2]


@op("Attention")
def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None = None,
    past_key: np.ndarray | None = None,
    past_value: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    *,
    q_num_heads: int | None = None,
    kv_num_heads: int | None = None,
    scale: float | None = None,
    is_causal: int = 0,
    softcap: float = 0.0,
    left_window_size: int = -1,
    right_window_size: int = -1,
    softmax_precision: str | None = None,
    qk_matmul_output_mode: int = 0,
) -> tuple[np.ndarray, ...]:
    """softmax(scale Q K^T + mask) V; the keys and values with the past; the scores.

    q, k, v  [N, heads, S, D] or [N, S, heads x D]; fewer heads of keys are shared by neighbours
    lengths  how many keys each sequence has, where k is a cache
    qk_matmul_output_mode  scores as they are: 0 products, 1 capped, 2 masked, 3 shares
    """
    rank, kind = q.ndim, q.dtype
    q, k, v = by_head(q, q_num_heads), by_head(k, kv_num_heads), by_head(v, kv_num_heads)
    before = _before(q, past_key, lengths)
    if past_key is not None and past_value is not None:
        k, v = np.concatenate([past_key, k], axis=2), np.concatenate([past_value, v], axis=2)
    keys, values = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    root = kind.type(sqrt(1 / sqrt(q.shape[3]) if scale is None else scale))
    stages = [matmul(q * root, (keys * root).swapaxes(2, 3))]
    stages.append(softcap * np.tanh(stages[0] / softcap) if softcap else stages[0])
    seen = _allowed(q, k, before, is_causal, left_window_size, right_window_size)
    stages.append(_masked(stages[1], mask, seen, lengths))
    precision = held(softmax_precision) if softmax_precision else kind
    stages.append(shares(stages[2].astype(precision)).astype(kind))
    y = matmul(stages[3], values)
    if rank == 3:
        y = y.transpose(0, 2, 1, 3).reshape(len(y), y.shape[2], -1)
    return y, k, v, stages[qk_matmul_output_mode]


@op("RotaryEmbedding")
def rotary_embedding(
    x: np.ndarray,
    cosines: np.ndarray,
    sines: np.ndarray,
    positions: np.ndarray | None = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> np.ndarray:
    """Pairs of each head turned by angles (arXiv:2104.09864): halves, or neighbours."""
    heads = by_head(x, num_heads or None)
    if positions is not None:
        cosines, sines = cosines[positions], sines[positions]
    cosines, sines = cosines[:, None], sines[:, None]  # the same for all heads
    width = rotary_embedding_dim or heads.shape[3]
    turned, rest = heads[..., :width], heads[..., width:]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned[..., : width // 2], turned[..., width // 2 :]
    parts = (cosines * a - sines * b, sines * a + cosines * b)
    joined = np.stack(parts, axis=-1) if interleaved else np.concatenate(parts, axis=-1)
    y = np.concatenate([joined.reshape(turned.shape), rest], axis=-1)
    return y if x.ndim == 4 else y.transpose(0, 2, 1, 3).reshape(x.shape)


@op("LinearAttention")
def linear_attention(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    past: np.ndarray | None = None,
    decay: np.ndarray | None = None,
    beta: np.ndarray | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
    chunk_size: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """A state [N, heads, D, D'] that each key and value adds to, read by the query.

    decay  logarithm of what is left of it, by head or by element of the key
    beta   how far a value replaces what the state has under its key
    """
    wide = [a.astype(np.float32) for a in (query, key, value)]
    q, k = by_head(wide[0], q_num_heads), by_head(wide[1], kv_num_heads)
    v = by_head(wide[2], kv_num_heads)
    n, _, steps, width = k.shape
    state: Any = np.zeros((n, kv_num_heads, width, v.shape[3]), np.float32)
    state = state if past is None else past.astype(np.float32)
    kept = None if decay is None else np.exp(by_head(decay.astype(np.float32), kv_num_heads))
    rate = None if beta is None else by_head(beta.astype(np.float32), beta.shape[2])
    read = np.empty((*q.shape[:3], v.shape[3]), np.float32)
    for t in range(steps):
        new = v[:, :, t]
        if kept is not None:
            state = state * kept[:, :, t, :, None]
        if rate is not None:
            new = rate[:, :, t] * (new - np.einsum("nhdm,nhd->nhm", state, k[:, :, t]))
        state = state + k[:, :, t, :, None] * new[:, :, None]
        shared = np.repeat(state, q_num_heads // kv_num_heads, axis=1)
        read[:, :, t] = np.einsum("nhd,nhdm->nhm", q[:, :, t], shared)
    y = read.transpose(0, 2, 1, 3).reshape(n, steps, -1) * (scale or 1 / sqrt(width))
    return y.astype(query.dtype), state.astype(query.dtype if past is None else past.dtype)
