"""Softmax attention of a graph, with a mask that is added to the scores; softmax over rows.

A chunk of attention is one head of one text.  Its keys are turned into columns in the thread's
scratch memory (as in bidirectional.py), and blocks of queries share every key and value loaded.
"""

from . import simd
from .attention import softmax as normalize
from .bidirectional import turn_keys
from .compiler import inline
from .matmul import arg

(
    Q, Q_STRIDE, QUERIES,  # float32 [N, QUERIES, HEADS * HEAD_DIM], rows Q_STRIDE bytes apart
    K, K_STRIDE, V, V_STRIDE, KEYS,
    OUT, OUT_STRIDE,
    HEADS, SHARED,  # heads of queries that share one of keys and values
    HEAD_DIM, VALUE_DIM, SCALE,  # multiples of 16; float32 bits
    ROW_BYTES,  # of scratch: scores of one query
    MASK, MASK_TEXT, MASK_HEAD, MASK_QUERY,  # address or 0, and bytes from one to the next
    BLOCKS_A_HEAD, BLOCK,  # blocks of queries a head is cut into, queries of each
) = range(22)  # fmt: skip


def attention(args, chunk, scratch):
    part, head = chunk % arg(args, BLOCKS_A_HEAD), chunk // arg(args, BLOCKS_A_HEAD)
    text, head = head // arg(args, HEADS), head % arg(args, HEADS)
    own = head // arg(args, SHARED)
    keys, stride = arg(args, KEYS), arg(args, K_STRIDE)
    dim = arg(args, HEAD_DIM)
    key = arg(args, K) + text * keys * stride + 4 * dim * own
    scores = scratch + turn_keys(key, stride, dim, keys, scratch)
    query = part * arg(args, BLOCK)
    end = min(query + arg(args, BLOCK), arg(args, QUERIES))
    if not simd.few_registers():
        while query + 8 <= end:
            _eight(args, text, head, own, query, scratch, scores)
            query += 8
    while query + 4 <= end:
        _four(args, text, head, own, query, scratch, scores)
        query += 4
    while query < end:
        _one(args, text, head, own, query, scratch, scores)
        query += 1


def _rows(rows):
    @inline
    def attend(args, text, head, own, query, keys, scores):
        dim, stride, row_bytes = arg(args, HEAD_DIM), arg(args, Q_STRIDE), arg(args, ROW_BYTES)
        count = arg(args, KEYS)
        number = text * arg(args, QUERIES) + query
        q = arg(args, Q) + number * stride + 4 * dim * head
        blocks = (count + 15) // 16
        scale = simd.splat(simd.load_f32(args + 8 * SCALE))
        mask = arg(args, MASK) + text * arg(args, MASK_TEXT) + head * arg(args, MASK_HEAD)
        mask += query * arg(args, MASK_QUERY)
        for block in range(blocks):
            acc = simd.zero_floats(rows)
            for i in range(dim):
                column = simd.load_floats(keys + 64 * (block * dim + i))
                acc = simd.add_outer(acc, column, q + 4 * i, stride)
            acc = simd.scale_rows(acc, scale)
            if arg(args, MASK) != 0:
                acc = simd.add_rows(acc, mask + 64 * block, arg(args, MASK_QUERY))
            simd.store_rows(acc, scores + 64 * block, row_bytes)
        for row in range(rows):
            normalize(scores + row * row_bytes, 0, blocks, 0, count)
        size, v_stride, out_stride = (
            arg(args, VALUE_DIM),
            arg(args, V_STRIDE),
            arg(args, OUT_STRIDE),
        )
        out = arg(args, OUT) + number * out_stride + 4 * size * head
        for d in range(0, 4 * size, 64):
            acc = simd.zero_floats(rows)
            value = arg(args, V) + text * count * v_stride + 4 * size * own + d
            for position in range(count):
                weight = scores + 4 * position
                acc = simd.add_outer(acc, simd.load_floats(value), weight, row_bytes)
                value += v_stride
            simd.store_rows(acc, out + d, out_stride)

    return attend


_eight, _four, _one = _rows(8), _rows(4), _rows(1)

# Arguments of `softmax`.
ROWS, ROWS_PER_CHUNK, SIZE, X, X_STRIDE, ROW_OUT, ROW_OUT_STRIDE = range(7)


def softmax(args, chunk, scratch):
    """Softmax of each row."""
    first = chunk * arg(args, ROWS_PER_CHUNK)
    last = min(first + arg(args, ROWS_PER_CHUNK), arg(args, ROWS))
    size = arg(args, SIZE)
    blocks = (size + 15) // 16
    for row in range(first, last):
        x = arg(args, X) + row * arg(args, X_STRIDE)
        out = arg(args, ROW_OUT) + row * arg(args, ROW_OUT_STRIDE)
        for at in range(0, 64 * blocks, 64):
            simd.store_floats(out + at, simd.load_floats(x + at))
        normalize(out, 0, blocks, 0, size)
