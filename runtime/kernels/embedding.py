"""Rows of the embedding matrix, from the same tiles as the products: a tied one is stored once."""

from edge.format.formats import CODES, PIECE, WeightFormat

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
    form = WeightFormat(kind, group, offset)
    weight, head = _FLOATS[kind] if form.is_float else _weight(form), form.head_bytes

    def embedding(args, chunk, scratch):
        end = min((chunk + 1) * TOKENS, simd.load_i64(arg(args, END)))
        factor = simd.load_f32(args + 8 * FACTOR)
        width = arg(args, BLOCK_COLUMNS)
        for token in range(chunk * TOKENS, end):
            row = simd.load_i64(arg(args, IDS) + 8 * token)
            tile = arg(args, WEIGHT) + (row // 16) * arg(args, TILE_BYTES)
            out = arg(args, OUT) + token * arg(args, OUT_STRIDE)
            for column in range(arg(args, COLUMNS)):
                block = tile + head + column // width * arg(args, BLOCK_BYTES)
                value = weight(tile, block, row % 16, column % width)
                simd.store_f32(out + 4 * column, value * factor)

    return embedding


def _weight(form):
    """One weight of a block that is not floats."""
    codes_at, zero, offset = 64 * form.lines, form.zero, form.offset
    code = _in_planes(CODES[form.kind].planes) if CODES[form.kind].planes else _ternary_dense
    scale, booked, run = _scale(form), form.has_codebook, form.multiplier_columns
    shift_at = codes_at // 2  # offsets fill the second half of the lines
    factor, shift_factor = _FACTORS[form.multiplier_bits]
    code_at = PIECE // run * (1 + offset) * 2 * form.multiplier_bits if run else 0
    shift_factors = code_at // 2 if form.multiplier_bits == 8 else 0  # multipliers of offsets
    piece_bytes = form.code_bytes(PIECE) if run else 0

    @inline
    def plain(tile, block, lane, column):
        value = code(block + codes_at, lane, column)
        if booked:
            value = _signed(tile + lane // 4 * 16 + simd.int64(value))
        if offset:
            return scale(block, lane, column) * value + scale(block + shift_at, lane, column)
        return scale(block, lane, column) * (value - simd.float32(zero))

    @inline
    def of_two_levels(tile, block, lane, column):
        piece = block + codes_at + column // PIECE * piece_bytes
        value = code(piece + code_at, lane, column % PIECE)
        m = piece + column % PIECE // run * 16 + lane
        step = scale(block, lane, column) * factor(m)
        if offset:
            shift = scale(block + shift_at, lane, column) * shift_factor(m + shift_factors)
            return step * value + shift
        return step * (value - simd.float32(zero))

    return of_two_levels if run else plain


def _scale(form):
    group, small = form.group, form.scale_type.itemsize == 2

    @inline
    def scale(line, lane, column):
        if small:
            return simd.load_f16(line + column // group * 32 + 2 * lane)
        return simd.load_f32(line + 4 * lane)

    return scale


@inline
def _signed(address):
    byte = simd.load_u8(address)
    return simd.float32(byte) - simd.float32(256 * (byte > 127))


@inline
def _low_nibble(address):
    return simd.float32(simd.load_u8(address) & 15)


@inline
def _high_nibble(address):
    return simd.float32(simd.load_u8(address) >> 4)


_FACTORS = {8: (_signed, _signed), 4: (_low_nibble, _high_nibble)}  # of scales and offsets, by bits


def _in_planes(planes):
    """Codes whose bits lie in planes (edge/format/tiles.py), at most two."""
    unit, unit_bytes = 32 // min(planes), 64 * sum(planes) // min(planes)
    low, high = planes[0], planes[1] if len(planes) > 1 else 0
    high_at = 64 * low // min(planes)

    @inline
    def code(codes, lane, column):
        at, within = codes + column // unit * unit_bytes + 4 * lane + column % 4, column % unit
        value = bits(at, within // 4 * low, low)
        if high:
            value |= bits(at + high_at, within // 4 * high, high) << low
        return simd.float32(value)

    @inline
    def bits(at, first, count):
        return simd.load_u8(at + first // 8 * 64) >> (first % 8) & ((1 << count) - 1)

    return code


@inline
def _ternary_dense(codes, lane, column):
    unit, triple = codes + column // 96 * 320 + 4 * lane + column % 4, column % 96 // 12
    nibble = simd.load_u8(unit + triple // 2 * 64) >> (triple % 2 * 4) & 15
    pair = nibble % 5 * 2 + (simd.load_u8(unit + 256) >> triple & 1)
    digit = column % 12 // 4
    return simd.float32(nibble // 5 if digit == 0 else pair // 3 if digit == 1 else pair % 3)


@inline
def _float32(tile, codes, lane, column):
    return simd.load_f32(codes + 64 * column + 4 * lane)


@inline
def _float16(tile, codes, lane, column):
    return simd.load_f16(codes + 32 * column + 2 * lane)


_FLOATS = {"float32": _float32, "float16": _float16}


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
