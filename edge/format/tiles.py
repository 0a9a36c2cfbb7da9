"""Pack a matrix into 16-row tiles and back: the layout that every kernel must match.

A tile is a sequence of blocks, so that a product reads it front to back.  A block is 64 bytes of
scales, 64 bytes of offsets (formats with offsets), and the codes of the columns they belong to:
two groups with float16 scales [group][16 rows], or one (256 columns, or a whole row) with float32.

A block of two levels is 64 bytes of float16: scales of two groups, or the scales and the offsets
of one.  Then come pieces of 64 columns: int8 multipliers [run][16 rows] of the scales, those of
the offsets (where they have 4 bits both are in a byte, the offset's above), the codes.  The last
block of a tile ends with the last piece that there is.

Codes whose bits lie in planes: a vector of 64 bytes holds a plane's `bits` bits of 16 rows x
32 / bits columns; bits `bits * i` and on of a row's byte c belong to column 4i + c.  A unit is the
vectors of the first plane, the lowest bits, then those of the second, for as many columns as the
narrowest plane's vector holds.

    int8, int4, int2, ternary   one plane, of 8, 4, 2 or 2 bits
    code4    as int4, and the tile begins with 64 bytes of codebooks, 16 int8 for every 4 rows: as
             a byte shuffle of AVX-512 looks up in 4 tables at once
    int6     192 bytes = 16 rows x 16 columns: two vectors of 4 bits, one of the 2 above them
    int5     320 bytes = 16 rows x 32 columns: four vectors of 4 bits, one of the fifth
    int3     192 bytes = 16 rows x 32 columns: two vectors of 2 bits, one of the third
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
    PIECE,
    TILE_ROWS,
    QuantizedTensor,
    WeightFormat,
)


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
    if form.multiplier_columns:
        packed = _with_multipliers(packed, tensor, width // PIECE)
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
    parts = whole.reshape(len(tiles), blocks, size)
    start, each = form.lines * ALIGNMENT, form.lines * ALIGNMENT // (1 + form.offset)
    packed = np.ascontiguousarray(parts[:, :, start:])
    multipliers: dict[str, np.ndarray] = {}
    if form.multiplier_columns:
        packed, multipliers = _without_multipliers(packed, form, rows, columns)
    codes = _unpack_codes(packed.reshape(len(tiles), -1), form.kind)
    scales = _unpack_scales(parts[:, :, :each], form, rows, columns)
    offsets = None
    if form.offset:
        offsets = _unpack_scales(parts[:, :, each:start], form, rows, columns)
    codes = codes[:rows, :columns]
    return QuantizedTensor(form, codes, scales, offsets, codebooks=codebooks, **multipliers)


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
    planes = CODES[kind].planes
    return _pack_planes(codes, planes) if planes else _pack_trits(codes)


def _unpack_codes(packed: np.ndarray, kind: str) -> np.ndarray:
    planes = CODES[kind].planes
    return _unpack_planes(packed, planes) if planes else _unpack_trits(packed)


def _pack_planes(codes: np.ndarray, planes: tuple[int, ...]) -> np.ndarray:
    tiles, units = len(codes) // TILE_ROWS, codes.shape[1] * min(planes) // 32
    if len(planes) == 1:  # all of a code: nothing to cut out, and no copy
        return _pack_fields(codes, 8 // planes[0]).reshape(tiles, -1)
    parts, shift = [], 0
    for bits in planes:
        field = codes >> np.uint8(shift) & np.uint8(2**bits - 1)
        parts.append(_pack_fields(field, 8 // bits).reshape(tiles, units, -1))
        shift += bits
    return np.concatenate(parts, axis=2).reshape(tiles, -1)


def _unpack_planes(packed: np.ndarray, planes: tuple[int, ...]) -> np.ndarray:
    tiles = len(packed)
    vectors = [bits // min(planes) for bits in planes]  # of a unit
    units = packed.reshape(tiles, -1, sum(vectors) * ALIGNMENT)
    codes: np.ndarray = np.zeros((), np.uint8)
    start = shift = 0
    for bits, count in zip(planes, vectors, strict=True):
        part = np.ascontiguousarray(units[:, :, start : start + count * ALIGNMENT])
        codes = codes | _unpack_fields(part.reshape(tiles, -1), 8 // bits) << np.uint8(shift)
        start, shift = start + count * ALIGNMENT, shift + bits
    return codes


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


def _with_multipliers(packed: np.ndarray, tensor: QuantizedTensor, pieces: int) -> np.ndarray:
    """Every piece's multipliers, and its codes behind them: uint8 [tiles, pieces, bytes]."""
    tiles, runs = len(packed), PIECE // tensor.format.multiplier_columns
    parts = []
    for table in _multiplier_bytes(tensor):
        padded = np.zeros((tiles * TILE_ROWS, pieces * runs), np.uint8)
        padded[: len(table), : table.shape[1]] = table
        by_piece = padded.reshape(tiles, TILE_ROWS, pieces, runs).transpose(0, 2, 3, 1)
        parts.append(by_piece.reshape(tiles, pieces, -1))
    return np.concatenate([*parts, packed.reshape(tiles, pieces, -1)], axis=2)


def _without_multipliers(
    packed: np.ndarray, form: WeightFormat, rows: int, columns: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The codes alone, and int8 [rows, runs] of scales, and of offsets if there are any."""
    runs = PIECE // form.multiplier_columns
    pieces = packed.reshape(len(packed), -1, form.code_bytes(PIECE))
    start, tables = 0, []
    for _ in range((1 + form.offset) * form.multiplier_bits // 8):
        by_row = pieces[:, :, start : start + runs * TILE_ROWS].reshape(
            *pieces.shape[:2], runs, TILE_ROWS
        )
        table = by_row.transpose(0, 3, 1, 2).reshape(len(packed) * TILE_ROWS, -1)
        tables.append(np.ascontiguousarray(table[:rows, : form.runs(columns)]))
        start += runs * TILE_ROWS
    if form.multiplier_bits == 4:
        tables = [tables[0] & 15, tables[0] >> 4]
    names = ("multipliers", "offset_multipliers")
    multipliers = {name: table.view(np.int8) for name, table in zip(names, tables, strict=False)}
    return np.ascontiguousarray(pieces[:, :, start:]), multipliers


def _multiplier_bytes(tensor: QuantizedTensor) -> list[np.ndarray]:
    """uint8 [rows, runs] each, as they lie one after the other."""
    both = (tensor.multipliers, tensor.offset_multipliers)
    tables = [table.view(np.uint8) for table in both if table is not None]
    if tensor.format.multiplier_bits == 4:
        return [tables[0] | tables[1] << 4]
    return tables


def _pack_codebooks(codebooks: np.ndarray, tiles: int) -> np.ndarray:
    """uint8 [tiles, 64]."""
    padded = np.zeros((tiles * TILE_ROWS // CODEBOOK_ROWS, codebooks.shape[1]), np.int8)
    padded[: len(codebooks)] = codebooks
    return padded.view(np.uint8).reshape(tiles, ALIGNMENT)


def _unpack_codebooks(tiles: np.ndarray, rows: int) -> np.ndarray:
    line = np.ascontiguousarray(tiles[:, :ALIGNMENT]).view(np.int8)
    return line.reshape(-1, ALIGNMENT * CODEBOOK_ROWS // TILE_ROWS)[: -(-rows // CODEBOOK_ROWS)]


def _pack_scales(scales: np.ndarray, form: WeightFormat, rows: int, columns: int) -> np.ndarray:
    """uint8 [tiles, blocks, bytes]: a line, or half of one."""
    groups = form.blocks(columns) * form.groups_per_block
    out = np.zeros((form.tiles(rows) * TILE_ROWS, groups), form.scale_type)
    out[:rows, : scales.shape[1]] = scales
    lines = np.ascontiguousarray(out.reshape(-1, TILE_ROWS, groups).transpose(0, 2, 1))
    return lines.view(np.uint8).reshape(form.tiles(rows), form.blocks(columns), -1)


def _unpack_scales(lines: np.ndarray, form: WeightFormat, rows: int, columns: int) -> np.ndarray:
    values = np.ascontiguousarray(lines).view(form.scale_type)
    values = values.reshape(len(lines), -1, TILE_ROWS).transpose(0, 2, 1)
    real = -(-columns // form.group) if form.group else 1
    return values.reshape(-1, values.shape[2])[:rows, :real].astype(np.float32)
