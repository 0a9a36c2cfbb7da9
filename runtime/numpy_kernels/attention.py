"""Softmax attention over the cache."""

import numpy as np

from ..kernels.layout import ATTENTION_TOKENS
from ..kv_cache import POSITIONS
from .kv_blocks import Blocks, read
from .memory import Kernel, bits_float, integer, view

TOKENS = 64  # at a time: bounds the memory that scores take


def kernel(kind: str, heads: int) -> Kernel:
    """`heads` query heads of one key-value head a chunk; arguments as in kernels/attention.py."""

    def attention(args: list[int], chunks: range) -> None:
        end, parts = integer(args[0]), args[6]
        for part in range(min(parts, len(chunks))):
            mine = chunks[part::parts]  # blocks of tokens, in order, of the same heads
            begin = mine[0] // parts * ATTENTION_TOKENS
            last = min((mine[-1] // parts + 1) * ATTENTION_TOKENS, end)
            for token in range(begin, last, TOKENS):
                count = min(TOKENS, last - token)
                _attend(args, kind, heads, mine[0] % parts, token, count)

    return attention


def _attend(args: list[int], kind: str, heads: int, part: int, token: int, count: int) -> None:
    q, q_stride, out, out_stride, _, parts_a_group, dim, scale, cap, window = args[2:12]
    position = integer(args[1]) + token
    first, end = max(position - window + 1, 0) if window else 0, position + count
    keys, values = _seen(args, kind, part // parts_a_group, first, end)
    queries, result = (
        view(x + token * stride + 4 * dim * heads * part, (count, heads, dim), "<f4", (stride,))
        for x, stride in ((q, q_stride), (out, out_stride))
    )
    scores = queries.swapaxes(0, 1) @ keys.T * bits_float(scale)
    if limit := bits_float(cap):
        scores = limit * np.tanh(scores / limit)
    weights = _softmax(scores, _visible(position, count, first, window))
    result[:] = (weights @ values).swapaxes(0, 1)


def _seen(
    args: list[int], kind: str, head: int, first: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values of positions first..end-1; the rest of a block may hold anything."""
    dim, (cache, head_bytes, block_bytes) = args[8], args[12:15]
    block = first // POSITIONS
    count = (end - 1) // POSITIONS + 1 - block
    blocks = Blocks(cache + head * head_bytes, 1, head_bytes, block_bytes, dim, block, count)
    keys, values = read(kind, blocks)
    shown = slice(first - block * POSITIONS, end - block * POSITIONS)
    return keys[shown], values[shown]


def _visible(position: int, count: int, first: int, window: int) -> np.ndarray:
    """bool [tokens, positions from `first` on]: up to its own, and within the window."""
    own = np.arange(position, position + count)[:, None]
    other = np.arange(first, position + count)
    visible = other <= own
    return visible & (other > own - window) if window else visible


def _softmax(scores: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Over the last axis of [heads, tokens, positions], visible ones only."""
    scores = np.where(visible, scores, np.float32(-1e30))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: np.ndarray = weights / weights.sum(axis=-1, keepdims=True)
    return result
