"""Pack a matrix into 16-row tiles and back: the layout that every kernel must match.

A tile is a sequence of blocks, so that a product reads it front to back.  A block is 64 bytes of
scales, 64 bytes of offsets (formats with offsets), and the codes of the columns they belong to:
two groups with float16 scales [group][16 rows], or one (256 columns, or a whole row) with float32.
A group of int6 begins with its multipliers, int8 [run of 16 columns][16 rows]; an odd last group
ends the tile.

    int8     64 bytes = 16 rows x 4 columns
    int6     192 bytes = 16 rows x 16 columns: two vectors of low nibbles as int4, and one of the
             high bits: bits 2i, 2i+1 of a row's byte c belong to column 4i + c
    int4     64 bytes = 16 rows x 8 columns: 4 bytes a row, low nibbles columns 0-3, high 4-7
    code4    as int4, and the tile begins with 64 bytes of codebooks, 16 int8 for every 4 rows: as
             a byte shuffle of AVX-512 looks up in 4 tables at once
    ternary  64 bytes = 16 rows x 16 columns: bits 2i, 2i+1 of a row's byte c: column 4i + c
    ternary-dense  320 bytes = 16 rows x 96 columns, three codes in 5 bits: columns 12i + c,
             12i + 4 + c and 12i + 8 + c are u, v, w in a nibble 5u + m and a bit h, where
             2m + h = 3v + w.  Four vectors of nibbles (i = 0, 2, 4, 6 low, 1, 3, 5, 7 high in
             byte c of a row), then one with h in bit i
    float32, float16   no blocks: one column of 16 rows after the other
"""

import numpy as np

from .formats import (
    ALIGNMENT,
    CODEBOOK_ROWS,
    CODES,
    FLOATS,
    TILE_ROWS,
    QuantizedTensor,
    WeightFormat,
)

_RUNS = 16  # multipliers of a row and group of int6


def pack(tensor: QuantizedTensor) -> np.ndarray:
    """uint8 [tiles, tile_bytes] of a quantized matrix; rows and columns are padded."""
    form = tensor.format
    rows, columns = tensor.shape
    tiles, blocks = form.tiles(rows), form.blocks(columns)
    width = blocks * form.block_columns(columns)
    codes = np.full((tiles * TILE_ROWS, width), CODES[form.kind].zero, np.uint8)
    codes[:rows, :columns] = tensor.codes
    parts = [_pack_scales(tensor.scales, form, rows, columns)]
    if form.offset:
        assert tensor.offsets is not None
        parts.append(_pack_scales(tensor.offsets, form, rows, columns))
    packed = _pack_codes(codes, form.kind)
    if tensor.multipliers is not None:
        packed = _with_multipliers(packed, tensor.multipliers, blocks * form.groups_per_block)
    parts.append(packed.reshape(tiles, blocks, -1))
    body = np.concatenate(parts, axis=2).reshape(tiles, -1)
    if tensor.codebooks is not None:
        body = np.concatenate([_pack_codebooks(tensor.codebooks, tiles), body], axis=1)
    return body[:, : form.tile_bytes(columns)]


def unpack(tiles: np.ndarray, form: WeightFormat, rows: int, columns: int) -> QuantizedTensor:
    """The inverse of `pack`."""
    blocks, size = form.blocks(columns), form.block_bytes(columns)
    codebooks = _unpack_codebooks(tiles, rows) if form.has_codebook else None
    tiles = tiles[:, form.head_bytes :]
    whole = np.pad(tiles, ((0, 0), (0, blocks * size - tiles.shape[1])))
    lines = whole.reshape(len(tiles), blocks, size)
    start = ALIGNMENT * (1 + form.offset)
    packed, multipliers = np.ascontiguousarray(lines[:, :, start:]), None
    if form.multiplier_columns:
        packed, multipliers = _without_multipliers(packed, form, rows, columns)
    codes = _unpack_codes(packed.reshape(len(tiles), -1), form.kind)
    scales = _unpack_scales(lines[:, :, :ALIGNMENT], form, rows, columns)
    offsets = None
    if form.offset:
        offsets = _unpack_scales(lines[:, :, ALIGNMENT:start], form, rows, columns)
    return QuantizedTensor(form, codes[:rows, :columns], scales, offsets, multipliers, codebooks)


def pack_floats(matrix: np.ndarray, kind: str) -> np.ndarray:
    """uint8 [tiles, tile_bytes] of a float matrix."""
    rows, columns = matrix.shape
    form, dtype = WeightFormat(kind), FLOATS[kind]
    out = np.zeros((form.tiles(rows), form.tile_bytes(columns) // dtype.itemsize), dtype)
    lanes = out[:, : columns * TILE_ROWS].reshape(-1, columns, TILE_ROWS)
    whole = rows // TILE_ROWS
    full = matrix[: whole * TILE_ROWS].reshape(whole, TILE_ROWS, columns)
    lanes[:whole] = full.transpose(0, 2, 1)
    if whole < len(lanes):
        lanes[whole, :, : rows % TILE_ROWS] = matrix[whole * TILE_ROWS :].T
    return out.view(np.uint8)


def unpack_floats(tiles: np.ndarray, kind: str, rows: int, columns: int) -> np.ndarray:
    """float32 [rows, columns]."""
    used = TILE_ROWS * columns * FLOATS[kind].itemsize
    values = np.ascontiguousarray(tiles[:, :used]).view(FLOATS[kind])
    values = values.reshape(len(tiles), columns, TILE_ROWS).transpose(0, 2, 1)
    return values.reshape(-1, columns)[:rows].astype(np.float32)


def _pack_codes(codes: np.ndarray, kind: str) -> np.ndarray:
    """uint8 [tiles, bytes] of codes [rows, columns]."""
    if kind == "int6":
        return _pack_int6(codes)
    if kind == "ternary-dense":
        return _pack_trits(codes)
    return _pack_fields(codes, CODES[kind].columns // 4)


def _unpack_codes(packed: np.ndarray, kind: str) -> np.ndarray:
    if kind == "int6":
        return _unpack_int6(packed)
    if kind == "ternary-dense":
        return _unpack_trits(packed)
    return _unpack_fields(packed, CODES[kind].columns // 4)


def _quads(codes: np.ndarray, count: int) -> np.ndarray:
    """[rows, columns] -> [quad, tile, unit, row, column]; a unit is `count` quads of columns."""
    units = codes.reshape(-1, TILE_ROWS, codes.shape[1] // (4 * count), count, 4)
    return units.transpose(3, 0, 2, 1, 4)


def _columns(quads: np.ndarray) -> np.ndarray:
    """The inverse of `_quads`."""
    count, tiles, units = quads.shape[:3]
    words = np.empty((tiles, TILE_ROWS, units, count), np.uint32)
    for i, quad in enumerate(quads):  # a quad is a word, and words are moved faster than bytes
        words[..., i] = quad.view(np.uint32)[..., 0].swapaxes(1, 2)
    return words.view(np.uint8).reshape(tiles * TILE_ROWS, units * count * 4)


def _pack_fields(codes: np.ndarray, per_byte: int) -> np.ndarray:
    """`per_byte` codes of equal width in every byte, the first in the lowest bits."""
    quads = _quads(codes, per_byte)
    packed = np.zeros(quads.shape[1:], np.uint8)
    for i, quad in enumerate(quads):
        packed |= quad << np.uint8(8 // per_byte * i)
    return packed.reshape(len(packed), -1)


def _unpack_fields(packed: np.ndarray, per_byte: int) -> np.ndarray:
    vectors = packed.reshape(len(packed), -1, TILE_ROWS, 4)
    bits = 8 // per_byte
    mask = np.uint8(2**bits - 1)
    return _columns(np.stack([vectors >> np.uint8(bits * i) & mask for i in range(per_byte)]))


def _pack_int6(codes: np.ndarray) -> np.ndarray:
    low, high = _pack_fields(codes & 15, 2), _pack_fields(codes >> 4, 4)
    tiles = len(low)
    units = (low.reshape(tiles, -1, 2 * ALIGNMENT), high.reshape(tiles, -1, ALIGNMENT))
    return np.concatenate(units, axis=2).reshape(tiles, -1)


def _unpack_int6(packed: np.ndarray) -> np.ndarray:
    tiles = len(packed)
    units = packed.reshape(tiles, -1, 3 * ALIGNMENT)
    low = np.ascontiguousarray(units[:, :, : 2 * ALIGNMENT]).reshape(tiles, -1)
    high = np.ascontiguousarray(units[:, :, 2 * ALIGNMENT :]).reshape(tiles, -1)
    codes: np.ndarray = _unpack_fields(low, 2) | _unpack_fields(high, 4) << 4
    return codes


def _pack_trits(codes: np.ndarray) -> np.ndarray:
    quads = _quads(codes, 24)
    first, pair = quads[::3], 3 * quads[1::3] + quads[2::3]
    nibbles = 5 * first + pair // 2
    high = np.packbits(pair & 1, axis=0, bitorder="little")
    vectors = np.concatenate([nibbles[::2] | nibbles[1::2] << 4, high])
    tiles = vectors.shape[1]
    return vectors.transpose(1, 2, 0, 3, 4).reshape(tiles, -1)


def _unpack_trits(packed: np.ndarray) -> np.ndarray:
    """Nibble 15 and a ninth pair, which no writer makes, become digits too."""
    units = packed.reshape(len(packed), -1, 5, TILE_ROWS, 4).transpose(2, 0, 1, 3, 4)
    nibbles = np.stack([units[:4] & 15, units[:4] >> 4], axis=1).reshape(8, *units.shape[1:])
    high = np.unpackbits(units[4:], axis=0, bitorder="little")
    pair = nibbles % 5 * 2 + high
    digits = np.stack([nibbles // 5, pair // 3, pair % 3], axis=1)
    return _columns(np.minimum(digits, 2).reshape(24, *units.shape[1:]))


def _with_multipliers(packed: np.ndarray, multipliers: np.ndarray, groups: int) -> np.ndarray:
    """The codes of every group behind its multipliers, uint8 [tiles, groups, bytes]."""
    tiles, (rows, runs) = len(packed), multipliers.shape
    padded = np.zeros((tiles * TILE_ROWS, groups * _RUNS), np.int8)
    padded[:rows, :runs] = multipliers
    by_run = padded.reshape(tiles, TILE_ROWS, groups, _RUNS).transpose(0, 2, 3, 1)
    lines = np.ascontiguousarray(by_run).view(np.uint8).reshape(tiles, groups, -1)
    return np.concatenate([lines, packed.reshape(tiles, groups, -1)], axis=2)


def _without_multipliers(
    packed: np.ndarray, form: WeightFormat, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """The codes alone, and int8 [rows, runs]."""
    tiles, groups = len(packed), form.blocks(columns) * form.groups_per_block
    both, size = packed.reshape(tiles, groups, -1), _RUNS * TILE_ROWS
    lines = np.ascontiguousarray(both[:, :, :size]).view(np.int8)
    by_row = lines.reshape(tiles, groups, _RUNS, TILE_ROWS).transpose(0, 3, 1, 2)
    runs = -(-columns // form.multiplier_columns)
    multipliers = by_row.reshape(tiles * TILE_ROWS, -1)[:rows, :runs]
    return np.ascontiguousarray(both[:, :, size:]), np.ascontiguousarray(multipliers)


def _pack_codebooks(codebooks: np.ndarray, tiles: int) -> np.ndarray:
    """uint8 [tiles, 64]."""
    padded = np.zeros((tiles * TILE_ROWS // CODEBOOK_ROWS, codebooks.shape[1]), np.int8)
    padded[: len(codebooks)] = codebooks
    return padded.view(np.uint8).reshape(tiles, ALIGNMENT)


def _unpack_codebooks(tiles: np.ndarray, rows: int) -> np.ndarray:
    line = np.ascontiguousarray(tiles[:, :ALIGNMENT]).view(np.int8)
    return line.reshape(-1, ALIGNMENT * CODEBOOK_ROWS // TILE_ROWS)[: -(-rows // CODEBOOK_ROWS)]


def _pack_scales(scales: np.ndarray, form: WeightFormat, rows: int, columns: int) -> np.ndarray:
    """uint8 [tiles, blocks, 64]."""
    groups = form.blocks(columns) * form.groups_per_block
    out = np.zeros((form.tiles(rows) * TILE_ROWS, groups), form.scale_type)
    out[:rows, : scales.shape[1]] = scales
    lines = np.ascontiguousarray(out.reshape(-1, TILE_ROWS, groups).transpose(0, 2, 1))
    return lines.view(np.uint8).reshape(form.tiles(rows), form.blocks(columns), ALIGNMENT)


def _unpack_scales(lines: np.ndarray, form: WeightFormat, rows: int, columns: int) -> np.ndarray:
    values = np.ascontiguousarray(lines).view(form.scale_type)
    values = values.reshape(len(lines), -1, TILE_ROWS).transpose(0, 2, 1)
    real = -(-columns // form.group) if form.group else 1
    return values.reshape(-1, values.shape[2])[:rows, :real].astype(np.float32)
