"""Softmax attention of whole texts, packed one after the other: every token sees its text's tokens.

A chunk is one head of one text.  Its keys are turned into columns in the thread's scratch memory,
so that scores of 16 positions come from whole vectors; rows of 8 tokens (on ARM 4) share every key
and value that is loaded.  Texts of any length: nothing is padded but the last 16 scores.
"""

from . import simd
from .attention import softmax
from .compiler import inline
from .matmul import arg

(
    STARTS,  # int64 [texts + 1]: the first token of each text, and the end of the last
    Q, K, V, STRIDE,  # float32 [tokens, heads * HEAD_DIM], rows STRIDE bytes apart
    OUT, OUT_STRIDE,
    HEADS, HEAD_DIM, SCALE,  # float32 bits
    ROW_BYTES,  # of scratch: scores of one token
) = range(11)  # fmt: skip


def attention(args, chunk, scratch):
    text, head = chunk // arg(args, HEADS), chunk % arg(args, HEADS)
    first = simd.load_i64(arg(args, STARTS) + 8 * text)
    end = simd.load_i64(arg(args, STARTS) + 8 * text + 8)
    at = 4 * arg(args, HEAD_DIM) * head
    stride = arg(args, STRIDE)
    key = arg(args, K) + first * stride + at
    scores = scratch + turn_keys(key, stride, arg(args, HEAD_DIM), end - first, scratch)
    token = first
    if not simd.few_registers():
        while token + 8 <= end:
            _eight(args, first, end, token, at, scratch, scores)
            token += 8
    while token + 4 <= end:
        _four(args, first, end, token, at, scratch, scores)
        token += 4
    while token < end:
        _one(args, first, end, token, at, scratch, scores)
        token += 1


@inline
def turn_keys(key, stride, dim, count, out):
    """Keys of a head as blocks [dim][16 positions]; how many bytes they take."""
    for position in range(count):
        column = out + position // 16 * 64 * dim + position % 16 * 4
        for i in range(dim):
            simd.store_f32(column + 64 * i, simd.load_f32(key + 4 * i))
        key += stride
    return (count + 15) // 16 * 64 * dim


def _rows(rows):
    @inline
    def attend(args, first, end, token, at, keys, scores):
        dim, stride, row_bytes = arg(args, HEAD_DIM), arg(args, STRIDE), arg(args, ROW_BYTES)
        count, q = end - first, arg(args, Q) + token * stride + at
        blocks = (count + 15) // 16
        scale = simd.splat(simd.load_f32(args + 8 * SCALE))
        for block in range(blocks):
            acc = simd.zero_floats(rows)
            for i in range(dim):
                key = simd.load_floats(keys + 64 * (block * dim + i))
                acc = simd.add_outer(acc, key, q + 4 * i, stride)
            simd.store_rows(simd.scale_rows(acc, scale), scores + 64 * block, row_bytes)
        for row in range(rows):
            softmax(scores + row * row_bytes, 0, blocks, 0, count)
        out_stride = arg(args, OUT_STRIDE)
        out = arg(args, OUT) + token * out_stride + at
        for d in range(0, 4 * dim, 64):
            acc = simd.zero_floats(rows)
            value = arg(args, V) + first * stride + at + d
            for position in range(count):
                acc = simd.add_outer(acc, simd.load_floats(value), scores + 4 * position, row_bytes)
                value += stride
            simd.store_rows(acc, out + d, out_stride)

    return attend


_eight, _four, _one = _rows(8), _rows(4), _rows(1)
