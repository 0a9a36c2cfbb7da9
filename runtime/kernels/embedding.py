"""Rows of the embedding matrix, from the same tiles as the products: a tied one is stored once."""

from . import simd
from .compiler import Kernel, inline
from .layout import EMBEDDING_TOKENS as TOKENS
from .matmul import arg

(
    END,  # address of the number of tokens
    IDS,  # int64 a token
    WEIGHT, TILE_BYTES,
    BLOCK_BYTES, BLOCK_COLUMNS, COLUMNS,
    OUT, OUT_STRIDE, FACTOR,  # FACTOR: float32 bits
) = range(10)  # fmt: skip


def kernel(kind: str, group: int, offset: bool) -> Kernel:
    """OUT = FACTOR * W[id] for weights of a format."""
    code, zero = _CODES[kind]
    is_float = kind in ("float16", "float32")
    multiplied, booked = kind == "int6", kind == "code4"
    head = 64 if booked else 0  # bytes of a tile before its blocks
    small = 0 < group < 256 or multiplied  # float16 scales, two groups a block
    codes_at = 0 if is_float else 128 if offset else 64

    def embedding(args, chunk, scratch):
        end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
        factor = simd.load_f32(args + 8 * FACTOR)
        width = arg(args, BLOCK_COLUMNS)
        for token in range(chunk * TOKENS, end):
            row = simd.load_i64(arg(args, IDS) + 8 * token)
            tile = arg(args, WEIGHT) + (row // 16) * arg(args, TILE_BYTES)
            lane = row % 16
            out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
            for column in range(arg(args, COLUMNS)):
                block = tile + head + column // width * arg(args, BLOCK_BYTES)
                value = code(block + codes_at, lane, column % width)
                if booked:
                    value = _level(tile, lane, value)
                if not is_float:
                    scale = _scale(block, lane, column % width)
                    if multiplied:
                        scale *= _int6_multiplier(block + codes_at, lane, column % width)
                    if offset:
                        value = scale * value + _scale(block + 64, lane, column % width)
                    else:
                        value = scale * (value - simd.float32(zero))
                simd.store_f32(out + 4 * column, value * factor)

    @inline
    def _scale(line, lane, column):
        if small:
            return simd.load_f16(line + column // group * 32 + 2 * lane)
        return simd.load_f32(line + 4 * lane)

    return embedding


# Arguments of `add_positions`; END is the first here, too.
_, POSITIONS, TABLE, WIDTH, X, X_STRIDE = range(6)  # TABLE: float32, rows of WIDTH elements


def add_positions(args, chunk, scratch):
    """X += TABLE[position]: what a token's place in its text adds, int64 positions a token."""
    end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
    width = 4 * arg(args, WIDTH)
    for token in range(chunk * TOKENS, end):
        row = arg(args, TABLE) + simd.load_i64(arg(args, POSITIONS) + 8 * token) * width
        x = arg(args, X) + token * arg(args, X_STRIDE)
        for at in range(0, width, 64):
            simd.store_floats(x + at, simd.load_floats(x + at) + simd.load_floats(row + at))


@inline
def _int8(codes, lane, column):
    return simd.float32(simd.load_u8(codes + column // 4 * 64 + 4 * lane + column % 4))


@inline
def _int6(codes, lane, column):
    unit = codes + (column // 256 + 1) * 256 + column // 16 * 192
    byte = simd.load_u8(unit + column % 16 // 8 * 64 + 4 * lane + column % 4)
    high = simd.load_u8(unit + 128 + 4 * lane + column % 4)
    code = byte >> (column % 8 // 4 * 4) & 15 | (high >> (column % 16 // 4 * 2) & 3) << 4
    return simd.float32(code)


@inline
def _int6_multiplier(codes, lane, column):
    return _signed(simd.load_u8(codes + column // 256 * 3328 + column % 256 // 16 * 16 + lane))


@inline
def _level(tile, lane, code):
    return _signed(simd.load_u8(tile + lane // 4 * 16 + simd.int64(code)))


@inline
def _signed(byte):
    return simd.float32(byte) - simd.float32(256 * (byte > 127))


@inline
def _int4(codes, lane, column):
    byte = simd.load_u8(codes + column // 8 * 64 + 4 * lane + column % 4)
    return simd.float32(byte >> (column % 8 // 4 * 4) & 15)


@inline
def _ternary(codes, lane, column):
    byte = simd.load_u8(codes + column // 16 * 64 + 4 * lane + column % 4)
    return simd.float32(byte >> (column % 16 // 4 * 2) & 3)


@inline
def _ternary_dense(codes, lane, column):
    unit, triple = codes + column // 96 * 320 + 4 * lane + column % 4, column % 96 // 12
    nibble = simd.load_u8(unit + triple // 2 * 64) >> (triple % 2 * 4) & 15
    pair = nibble % 5 * 2 + (simd.load_u8(unit + 256) >> triple & 1)
    digit = column % 12 // 4
    return simd.float32(nibble // 5 if digit == 0 else pair // 3 if digit == 1 else pair % 3)


@inline
def _float32(codes, lane, column):
    return simd.load_f32(codes + 64 * column + 4 * lane)


@inline
def _float16(codes, lane, column):
    return simd.load_f16(codes + 32 * column + 2 * lane)


_CODES = {  # how to read a code, the code that means 0
    "int8": (_int8, 128),
    "int6": (_int6, 32),
    "int4": (_int4, 8),
    "code4": (_int4, 0),
    "ternary": (_ternary, 1),
    "ternary-dense": (_ternary_dense, 1),
    "float32": (_float32, 0),
    "float16": (_float16, 0),
}
