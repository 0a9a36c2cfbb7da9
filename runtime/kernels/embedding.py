"""Rows of the embedding matrix, from the same tiles as the products: a tied one is stored once."""

from . import simd
from .compiler import Kernel, inline
from .matmul import arg

TOKENS = 4  # a chunk
(
    END,  # address of the number of tokens
    IDS,  # int64 a token
    WEIGHT, TILE_BYTES, SCALES, OFFSETS, GROUP, COLUMNS,
    OUT, OUT_STRIDE, FACTOR,  # FACTOR: float32 bits
) = range(11)  # fmt: skip


def kernel(kind: str, group: int, offset: bool) -> Kernel:
    """OUT = FACTOR * W[id] for weights of a format."""
    code, zero = _CODES[kind]
    is_float = kind in ("float16", "float32")

    def embedding(args, chunk, scratch):
        end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
        factor = simd.load_f32(args + 8 * FACTOR)
        for token in range(chunk * TOKENS, end):
            row = simd.load_i64(arg(args, IDS) + 8 * token)
            tile = arg(args, WEIGHT) + (row // 16) * arg(args, TILE_BYTES)
            lane = row % 16
            out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
            for column in range(arg(args, COLUMNS)):
                value = code(tile, lane, column)
                if not is_float:
                    at = 16 * (column // group) + lane if group > 0 else lane
                    scale = _scale(tile + arg(args, SCALES), at)
                    if offset:
                        shift = simd.load_f16(tile + arg(args, OFFSETS) + 2 * at)
                        value = scale * value + shift
                    else:
                        value = scale * (value - simd.float32(zero))
                simd.store_f32(out + 4 * column, value * factor)

    @inline
    def _scale(scales, at):
        if group > 0:
            return simd.load_f16(scales + 2 * at)
        return simd.load_f32(scales + 4 * at)

    return embedding


@inline
def _int8(tile, lane, column):
    return simd.float32(simd.load_u8(tile + column // 4 * 64 + 4 * lane + column % 4))


@inline
def _int4(tile, lane, column):
    byte = simd.load_u8(tile + column // 8 * 64 + 4 * lane + column % 4)
    return simd.float32(byte >> (column % 8 // 4 * 4) & 15)


@inline
def _ternary(tile, lane, column):
    byte = simd.load_u8(tile + column // 16 * 64 + 4 * lane + column % 4)
    return simd.float32(byte >> (column % 16 // 4 * 2) & 3)


@inline
def _ternary_dense(tile, lane, column):
    rest = simd.load_u8(tile + column // 20 * 64 + 4 * lane + column % 4)
    for _ in range(column % 20 // 4):
        rest = rest * 3 & 255
    return simd.float32(rest * 3 >> 8)


@inline
def _float32(tile, lane, column):
    return simd.load_f32(tile + 64 * column + 4 * lane)


@inline
def _float16(tile, lane, column):
    return simd.load_f16(tile + 32 * column + 2 * lane)


_CODES = {  # how to read a code, the code that means 0
    "int8": (_int8, 128),
    "int4": (_int4, 8),
    "ternary": (_ternary, 1),
    "ternary-dense": (_ternary_dense, 1),
    "float32": (_float32, 0),
    "float16": (_float16, 0),
}
