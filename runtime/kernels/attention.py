"""Softmax attention over the cache, in three passes over rows that share a key-value head.

Scores of 16 positions at a time from the cache's blocks, softmax over the row, weighted sum of
the values.  A chunk is (block of tokens, a few heads of one group).  Rows that are worked on
together share every key and value that is loaded: eight tokens of a head in prefill (on ARM twice
four), the chunk's heads of one token in decode.  Scores live in the thread's scratch memory.
"""

from . import simd
from .activations import tanh
from .compiler import Kernel, inline
from .layout import ATTENTION_TOKENS as TOKENS
from .matmul import arg

(
    END, POSITION,
    Q, Q_STRIDE, OUT, OUT_STRIDE,
    PARTS, PARTS_A_GROUP,  # runs of heads, in all and of one key-value head
    HEAD_DIM, SCALE, SOFTCAP,  # float32 bits; SOFTCAP 0 = none
    WINDOW,  # positions a token sees; 0 = all before it
    CACHE, HEAD_BYTES, BLOCK_BYTES,
    ROW_BYTES,  # of scratch: scores of one token
) = range(16)  # fmt: skip


def kernel(kind: str, heads: int) -> Kernel:
    """Attention with `heads` query heads a chunk; they must belong to one key-value head."""
    tokens, single = _rows(kind, TOKENS, 1), _rows(kind, heads, 0)
    half = _rows(kind, TOKENS // 2, 1)

    def attention(args, chunk, scratch):
        part = chunk % arg(args, PARTS)
        group = part // arg(args, PARTS_A_GROUP)
        token = chunk // arg(args, PARTS) * TOKENS
        end = min(token + TOKENS, simd.load_i64(arg(args, END)))
        if token + TOKENS == end:
            for head in range(part * heads, (part + 1) * heads):
                if simd.few_registers():
                    for t in range(token, end, TOKENS // 2):
                        half(args, group, head, t, scratch)
                else:
                    tokens(args, group, head, token, scratch)
        else:
            for t in range(token, end):
                single(args, group, part * heads, t, scratch)

    return attention


def _rows(kind, rows, token_step):
    """Attention of `rows` tokens of one head (token_step 1) or heads of one token (0)."""
    score, values = _SCORE[kind](rows), _VALUES[kind](rows)

    @inline
    def attend(args, group, head, token, scratch):
        dim, stride, window = arg(args, HEAD_DIM), arg(args, ROW_BYTES), arg(args, WINDOW)
        position = simd.load_i64(arg(args, POSITION)) + token
        first = 0  # blocks first..last-1 hold all that any of the rows sees
        if window > 0:
            first = max(position - window + 1, 0) // 16
        last = (position + token_step * (rows - 1)) // 16 + 1
        block_bytes = arg(args, BLOCK_BYTES)
        cache = arg(args, CACHE) + group * arg(args, HEAD_BYTES)
        q = arg(args, Q) + token * arg(args, Q_STRIDE) + 4 * dim * head
        out = arg(args, OUT) + token * arg(args, OUT_STRIDE) + 4 * dim * head
        if token_step > 0:
            q_stride, out_stride = arg(args, Q_STRIDE), arg(args, OUT_STRIDE)
        else:
            q_stride, out_stride = 4 * dim, 4 * dim
        spare = scratch + 2 * rows * stride
        if kind == "int4":
            _group_sums(q, q_stride, dim, spare, rows)
        scale = simd.splat(simd.load_f32(args + 8 * SCALE))
        for i in range(first, last):
            acc = score(cache + i * block_bytes, q, q_stride, dim, spare)
            simd.store_rows(simd.scale_rows(acc, scale), scratch + 64 * i, stride)
        cap = simd.load_f32(args + 8 * SOFTCAP)
        for row in range(rows):
            scores = scratch + row * stride
            if cap > simd.float32(0):
                _softcap(scores, first, last, cap)
            end = position + token_step * row + 1
            begin = 0
            if window > 0:
                begin = max(end - window, 0)
            softmax(scores, first, last, begin, end)
        values(cache, block_bytes, dim, first, last, scratch, stride, out, out_stride)

    return attend


# --- softmax over the scores of one token -----------------------------------------------------


@inline
def _softcap(scores, first, last, cap):
    limit = simd.splat(cap)
    for at in range(64 * first, 64 * last, 64):
        simd.store_floats(scores + at, limit * tanh(simd.load_floats(scores + at) / limit))


@inline
def softmax(scores, first, last, begin, end):
    """Softmax over positions begin..end-1; the rest of blocks first..last-1 becomes 0.

    Where all scores are masked, with -inf, all weights are 0.
    """
    for position in range(16 * first, begin):
        simd.store_f32(scores + 4 * position, simd.float32(-1e30))
    for position in range(end, 16 * last):
        simd.store_f32(scores + 4 * position, simd.float32(-1e30))
    largest = simd.load_floats(scores + 64 * first)
    for at in range(64 * first + 64, 64 * last, 64):
        largest = simd.maximum(largest, simd.load_floats(scores + at))
    top = simd.splat(max(simd.max_lanes(largest), simd.float32(-3.4028234663852886e38)))
    total = simd.splat(simd.float32(0))
    for at in range(64 * first, 64 * last, 64):
        weight = simd.exp(simd.load_floats(scores + at) - top)
        simd.store_floats(scores + at, weight)
        total = total + weight
    weights = simd.sum_lanes(total)
    inverse = simd.splat(simd.float32(1) / weights if weights > 0 else simd.float32(0))
    for at in range(64 * first, 64 * last, 64):
        simd.store_floats(scores + at, simd.load_floats(scores + at) * inverse)


# --- scores: 16 positions of the cache times the queries of `rows` tokens ---------------------


def _score_floats(load, width):
    def make(rows):
        @inline
        def score(block, q, q_stride, dim, sums):
            acc = simd.zero_floats(rows)
            for i in range(dim):
                acc = simd.add_outer(acc, load(block + 16 * width * i), q + 4 * i, q_stride)
            return acc

        return score

    return make


def _score_int8(rows):
    @inline
    def score(block, q, q_stride, dim, sums):
        acc = simd.zero_floats(rows)
        for i in range(dim):
            acc = simd.add_outer(acc, simd.load_int8s(block + 16 * i), q + 4 * i, q_stride)
        return simd.scale_rows(acc, simd.load_halves(block + 32 * dim))

    return score


def _score_int4(rows):
    @inline
    def score(block, q, q_stride, dim, sums):
        acc = simd.zero_floats(rows)
        scales = block + 16 * dim
        for g in range(dim // 32):
            part = simd.zero_floats(rows)
            for i in range(16):
                at = block + 256 * g + 16 * i
                x = q + 128 * g + 4 * i
                part = simd.add_outer(part, simd.load_low_nibbles(at), x, q_stride)
                part = simd.add_outer(part, simd.load_high_nibbles(at), x + 64, q_stride)
            acc = simd.add_products(acc, part, simd.load_halves(scales + 32 * g))
            acc = simd.add_outer(acc, simd.load_halves(scales + dim + 32 * g), sums + 4 * g, 128)
        return acc

    return score


@inline
def _group_sums(q, q_stride, dim, sums, rows):
    """The sum of each 32 elements of each row's query, 128 bytes a row."""
    for row in range(rows):
        x = q + row * q_stride
        for g in range(dim // 32):
            pair = simd.load_floats(x + 128 * g) + simd.load_floats(x + 128 * g + 64)
            simd.store_f32(sums + 128 * row + 4 * g, simd.sum_lanes(pair))


# --- values: the weighted sum of blocks first..last-1 -----------------------------------------


def _sum_values(load, bytes_of_16, rows):
    """acc + weights x 16 elements of each position."""

    @inline
    def total(acc, values, block_bytes, first, last, weights, stride):
        for i in range(first, last):
            for p in range(16):
                v = load(values + i * block_bytes + bytes_of_16 * p)
                acc = simd.add_outer(acc, v, weights + 64 * i + 4 * p, stride)
        return acc

    return total


@inline
def _scale_weights(weights, stride, rows, scales, block_bytes, first, last):
    """Weights times the positions' scales, stored behind the weights of all rows."""
    for row in range(rows):
        source = weights + row * stride
        for i in range(first, last):
            scale = simd.load_halves(scales + i * block_bytes)
            product = simd.load_floats(source + 64 * i) * scale
            simd.store_floats(source + rows * stride + 64 * i, product)


def _values_floats(load, width):
    def make(rows):
        add = _sum_values(load, 16 * width, rows)

        @inline
        def values(cache, block_bytes, dim, first, last, weights, stride, out, out_stride):
            for d in range(0, dim, 16):
                acc = simd.zero_floats(rows)
                at = cache + 16 * width * (dim + d)
                acc = add(acc, at, block_bytes, first, last, weights, stride)
                simd.store_rows(acc, out + 4 * d, out_stride)

        return values

    return make


def _values_int8(rows):
    add = _sum_values(simd.load_int8s, 16, rows)

    @inline
    def values(cache, block_bytes, dim, first, last, weights, stride, out, out_stride):
        scales = cache + 32 * dim + 32
        _scale_weights(weights, stride, rows, scales, block_bytes, first, last)
        scaled = weights + rows * stride
        for d in range(0, dim, 16):
            acc = simd.zero_floats(rows)
            at = cache + 16 * dim + 16 * d
            acc = add(acc, at, block_bytes, first, last, scaled, stride)
            simd.store_rows(acc, out + 4 * d, out_stride)

    return values


def _values_int4(rows):
    low = _sum_values(simd.load_low_nibbles, 16, rows)
    high = _sum_values(simd.load_high_nibbles, 16, rows)

    @inline
    def values(cache, block_bytes, dim, first, last, weights, stride, out, out_stride):
        for g in range(dim // 32):
            scales = cache + 18 * dim + 32 * g
            _scale_weights(weights, stride, rows, scales, block_bytes, first, last)
            scaled = weights + rows * stride
            codes = cache + 8 * dim + 256 * g
            a = low(simd.zero_floats(rows), codes, block_bytes, first, last, scaled, stride)
            b = high(simd.zero_floats(rows), codes, block_bytes, first, last, scaled, stride)
            simd.store_rows(a, out + 128 * g, out_stride)
            simd.store_rows(b, out + 128 * g + 64, out_stride)
            offsets = scales + dim
            for row in range(rows):
                at = out + row * out_stride + 128 * g
                _add_offsets(weights + row * stride, offsets, block_bytes, first, last, at)

    return values


@inline
def _add_offsets(weights, offsets, block_bytes, first, last, out):
    """Add the weighted sum of the positions' offsets to 32 outputs."""
    total = simd.splat(simd.float32(0))
    for i in range(first, last):
        offset = simd.load_halves(offsets + i * block_bytes)
        total = simd.fma(simd.load_floats(weights + 64 * i), offset, total)
    shift = simd.splat(simd.sum_lanes(total))
    simd.store_floats(out, simd.load_floats(out) + shift)
    simd.store_floats(out + 64, simd.load_floats(out + 64) + shift)


_SCORE = {
    "float32": _score_floats(simd.load_floats, 4),
    "float16": _score_floats(simd.load_halves, 2),
    "int8": _score_int8,
    "int4": _score_int4,
}
_VALUES = {
    "float32": _values_floats(simd.load_floats, 4),
    "float16": _values_floats(simd.load_halves, 2),
    "int8": _values_int8,
    "int4": _values_int4,
}
