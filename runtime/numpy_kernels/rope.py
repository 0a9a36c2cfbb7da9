"""Rotate queries and keys, and put keys and values into the cache."""

import numpy as np

from ..kernels.layout import ROPE_TOKENS
from ..kv_cache import POSITIONS
from .activations import normalized
from .kv_blocks import Blocks, keep
from .memory import Kernel, floats, integer, tokens_of, view


def kernel(kind: str) -> Kernel:
    """Arguments as in kernels/rope.py."""

    def rope(args: list[int], chunks: range) -> None:
        end, position, q, q_stride, heads, k, v, kv_stride, kv_heads, dim = args[:10]
        q_norm, k_norm, _, cache, head_bytes, block_bytes = args[14:20]
        first, count = tokens_of(chunks, ROPE_TOKENS, integer(end))
        if not count:
            return
        queries = _heads(q + first * q_stride, count, heads, dim, q_stride)
        keys, values = (
            _heads(x + first * kv_stride, count, kv_heads, dim, kv_stride) for x in (k, v)
        )
        position = integer(position) + first
        _turn(args, queries, q_norm, position)
        _turn(args, keys, k_norm, position)
        block = position // POSITIONS
        blocks = (position + count - 1) // POSITIONS + 1 - block
        place = Blocks(cache, kv_heads, head_bytes, block_bytes, dim, block, blocks)
        keep(kind, place, position, keys, values)

    return rope


def _heads(address: int, tokens: int, heads: int, dim: int, stride: int) -> np.ndarray:
    return view(address, (tokens, heads, dim), "<f4", (stride,))


def _turn(args: list[int], x: np.ndarray, norm: int, position: int) -> None:
    """Norm (an address or 0) and rotation, in place; x float32 [tokens, heads, dim]."""
    dims, cos, sin, stride = args[10:14]
    if norm:
        x[:] = normalized(x, norm, x.shape[2], args[16])
    half = dims // 2
    c, s = (
        floats(table + position * stride, len(x), half, stride)[:, None] for table in (cos, sin)
    )
    a, b = x[:, :, :half], x[:, :, half:dims]
    x[:, :, :dims] = np.concatenate([a * c - b * s, b * c + a * s], axis=2)
