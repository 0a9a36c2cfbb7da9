"""Rotate queries and keys, and put keys and values into the cache: one token's share a turn.

RoPE (Su et al. 2021) on pairs (j, j + dims / 2), after an optional norm of each head.
The angles' cosines and sines come as a table, a row a position.
"""

from . import simd
from .activations import normalize
from .compiler import Kernel, inline
from .layout import ROPE_TOKENS as TOKENS
from .matmul import arg

(
    END, POSITION,  # addresses of: the number of tokens, the first one's position
    Q, Q_STRIDE, HEADS, K, V, KV_STRIDE, KV_HEADS,
    HEAD_DIM, DIMS,  # rotated elements of a head
    COS, SIN, TABLE_STRIDE,
    Q_NORM, K_NORM, EPSILON,  # addresses or 0; float32 bits
    CACHE, HEAD_BYTES, BLOCK_BYTES,
) = range(20)  # fmt: skip


def kernel(kind: str) -> Kernel:
    keep = _KEEP[kind]

    def rope(args, chunk, scratch):
        end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
        dim = arg(args, HEAD_DIM)
        for token in range(chunk * TOKENS, end):
            position = simd.load_i64(arg(args, POSITION)) + token
            q = arg(args, Q) + token * arg(args, Q_STRIDE)
            for head in range(arg(args, HEADS)):
                turn(args, q + 4 * dim * head, arg(args, Q_NORM), position)
            k = arg(args, K) + token * arg(args, KV_STRIDE)
            v = arg(args, V) + token * arg(args, KV_STRIDE)
            for head in range(arg(args, KV_HEADS)):
                turn(args, k + 4 * dim * head, arg(args, K_NORM), position)
                block = arg(args, CACHE) + head * arg(args, HEAD_BYTES)
                block += position // 16 * arg(args, BLOCK_BYTES)
                keep(block, k + 4 * dim * head, v + 4 * dim * head, dim, position % 16)

    @inline
    def turn(args, x, norm, position):
        """Norm and rotation of one head, in place."""
        if norm != 0:
            dim = arg(args, HEAD_DIM)
            normalize(x, norm, x, dim, dim, simd.load_f32(args + 8 * EPSILON))
        half = arg(args, DIMS) // 2
        cos = arg(args, COS) + position * arg(args, TABLE_STRIDE)
        sin = arg(args, SIN) + position * arg(args, TABLE_STRIDE)
        if half % 16 == 0:
            for at in range(0, 4 * half, 64):
                a, b = simd.load_floats(x + at), simd.load_floats(x + 4 * half + at)
                c, s = simd.load_floats(cos + at), simd.load_floats(sin + at)
                simd.store_floats(x + at, a * c - b * s)
                simd.store_floats(x + 4 * half + at, b * c + a * s)
        else:
            for at in range(0, 4 * half, 4):
                a, b = simd.load_f32(x + at), simd.load_f32(x + 4 * half + at)
                c, s = simd.load_f32(cos + at), simd.load_f32(sin + at)
                simd.store_f32(x + at, a * c - b * s)
                simd.store_f32(x + 4 * half + at, b * c + a * s)

    return rope


def _keep_floats(store, store_vector, width):
    """Elements of `width` bytes: keys one by one, values 16 at a time."""

    @inline
    def keep(block, k, v, dim, slot):
        values = block + 16 * width * (dim + slot)
        for i in range(dim):
            store(block + 16 * width * i + width * slot, simd.load_f32(k + 4 * i))
        for i in range(0, dim, 16):
            store_vector(values + 16 * width * i, simd.load_floats(v + 4 * i))

    return keep


@inline
def _scale_of(x, dim):
    """Absolute maximum / 127 as the float16 that is stored, widened again."""
    largest = simd.splat(simd.float32(0))
    for i in range(0, dim, 16):
        largest = simd.maximum(largest, simd.absolute(simd.load_floats(x + 4 * i)))
    return simd.max_lanes(largest) / simd.float32(127)


@inline
def _reciprocal(x):
    return simd.float32(1) / x if x > simd.float32(0) else simd.float32(0)


@inline
def _keep_int8(block, k, v, dim, slot):
    values, scales = block + 16 * dim + 16 * slot, block + 32 * dim + 2 * slot
    simd.store_f16(scales, _scale_of(k, dim))
    simd.store_f16(scales + 32, _scale_of(v, dim))
    k_inverse = _reciprocal(simd.load_f16(scales))
    v_inverse = simd.splat(_reciprocal(simd.load_f16(scales + 32)))
    for i in range(dim):
        code = _limited(simd.load_f32(k + 4 * i) * k_inverse, -127, 127)
        simd.store_u8(block + 16 * i + slot, code)
    top = simd.splat(simd.float32(127))
    for i in range(0, dim, 16):
        x = simd.load_floats(v + 4 * i) * v_inverse
        x = simd.maximum(simd.minimum(x, top), simd.splat(simd.float32(-127)))
        simd.store_int8s(values + 16 * i, simd.round_to_int(x))


@inline
def _limited(x, low, high):
    """Nearest integer within [low, high]."""
    return min(max(simd.int64(simd.rint(x)), low), high)


@inline
def _keep_int4(block, k, v, dim, slot):
    groups = dim // 32
    scales = block + 16 * dim + 2 * slot
    size = 32 * groups
    for g in range(groups):
        at = scales + 32 * g
        _keep_nibbles(k + 128 * g, at, at + size, block + 256 * g + slot, 16)
        at += 2 * size
        _keep_nibbles(v + 128 * g, at, at + size, block + 8 * dim + 256 * g + 16 * slot, 1)


@inline
def _keep_nibbles(x, scale_at, offset_at, out, stride):
    """32 floats as 16 bytes, `stride` apart: minimum and range / 15 as float16."""
    a, b = simd.load_floats(x), simd.load_floats(x + 64)
    low = simd.float32(0) - simd.max_lanes(
        simd.maximum(simd.splat(simd.float32(0)) - a, simd.splat(simd.float32(0)) - b)
    )
    high = simd.max_lanes(simd.maximum(a, b))
    simd.store_f16(offset_at, low)
    low = simd.load_f16(offset_at)
    simd.store_f16(scale_at, (high - low) / simd.float32(15))
    inverse = _reciprocal(simd.load_f16(scale_at))
    for i in range(16):
        p = _limited((simd.load_f32(x + 4 * i) - low) * inverse, 0, 15)
        q = _limited((simd.load_f32(x + 64 + 4 * i) - low) * inverse, 0, 15)
        simd.store_u8(out + stride * i, p | q << 4)


_KEEP = {
    "float32": _keep_floats(simd.store_f32, simd.store_floats, 4),
    "float16": _keep_floats(simd.store_f16, simd.store_halves, 2),
    "int8": _keep_int8,
    "int4": _keep_int4,
}
