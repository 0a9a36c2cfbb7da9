"""Softmax attention of whole texts, packed one after the other."""

import numpy as np

from .memory import bits_float, view

QUERIES = 64  # at a time: bounds the memory that scores take


def attention(args: list[int], chunks: range) -> None:
    """A chunk is one head of one text; arguments as in kernels/bidirectional.py."""
    starts, heads = args[0], args[7]
    for chunk in chunks:
        text, head = divmod(chunk, heads)
        first, end = view(starts + 8 * text, (2,), "<i8").tolist()
        _attend(args, first, end - first, head)


def _attend(args: list[int], first: int, count: int, head: int) -> None:
    q, k, v, stride, out, out_stride, _, dim, scale = args[1:10]
    queries, keys, values, result = (
        view(x + first * step + 4 * dim * head, (count, dim), "<f4", (step,))
        for x, step in ((q, stride), (k, stride), (v, stride), (out, out_stride))
    )
    for begin in range(0, count, QUERIES):
        some = slice(begin, begin + QUERIES)
        scores = queries[some] @ keys.T * bits_float(scale)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        result[some] = weights / weights.sum(axis=1, keepdims=True) @ values
