"""Pack a matrix into 16-row tiles and back: the layout that every kernel must match.

A tile is a sequence of blocks, so that a product reads it front to back.  A block is 64 bytes of
scales, 64 bytes of offsets (formats with offsets), and the codes of the columns they belong to:
two groups with float16 scales [group][16 rows], or one (256 columns, or a whole row) with float32.

    int8     64 bytes = 16 rows x 4 columns
    int4     64 bytes = 16 rows x 8 columns: 4 bytes a row, low nibbles columns 0-3, high 4-7
    ternary  64 bytes = 16 rows x 16 columns: bits 2i, 2i+1 of a row's byte c: column 4i + c
    ternary-dense  64 bytes = 16 rows x 20 columns: digit i (base 3, most significant first) of a
             row's byte c is column 4i + c; the byte is ceil(value * 256 / 243)
    float32, float16   no blocks: one column of 16 rows after the other
"""

import numpy as np

from .formats import ALIGNMENT, CODES, FLOATS, TILE_ROWS, QuantizedTensor, WeightFormat

_POWERS = np.array([81, 27, 9, 3, 1], np.uint16)


def pack(tensor: QuantizedTensor) -> np.ndarray:
    """uint8 [tiles, tile_bytes] of a quantized matrix; rows and columns are padded."""
    form = tensor.format
    rows, columns = tensor.shape
    tiles, padded = form.tiles(rows), form.padded_columns(columns)
    codes = np.full((tiles * TILE_ROWS, padded), CODES[form.kind].zero, np.uint8)
    codes[:rows, :columns] = tensor.codes
    parts = [_pack_scales(tensor.scales, form, rows, columns)]
    if form.offset:
        assert tensor.offsets is not None
        parts.append(_pack_scales(tensor.offsets, form, rows, columns))
    parts.append(_pack_codes(codes, form.kind).reshape(tiles, form.blocks(columns), -1))
    return np.concatenate(parts, axis=2).reshape(tiles, -1)


def unpack(tiles: np.ndarray, form: WeightFormat, rows: int, columns: int) -> QuantizedTensor:
    """The inverse of `pack`."""
    blocks = tiles.reshape(len(tiles), form.blocks(columns), -1)
    start = ALIGNMENT * (1 + form.offset)
    codes = np.ascontiguousarray(blocks[:, :, start:]).reshape(len(tiles), -1)
    codes = _unpack_codes(codes, form.kind, form.padded_columns(columns))
    scales = _unpack_scales(blocks[:, :, :ALIGNMENT], form, rows, columns)
    offsets = None
    if form.offset:
        offsets = _unpack_scales(blocks[:, :, ALIGNMENT:start], form, rows, columns)
    return QuantizedTensor(form, codes[:rows, :columns], scales, offsets)


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
    per_byte = CODES[kind].columns_per_vector // 4
    tiles = codes.reshape(-1, TILE_ROWS, codes.shape[1] // (4 * per_byte), per_byte, 4)
    fields = tiles.transpose(3, 0, 2, 1, 4)  # digit of the byte, tile, vector, row, column
    packed: np.ndarray
    if kind == "ternary-dense":
        value = sum(int(p) * f.astype(np.uint16) for p, f in zip(_POWERS, fields, strict=True))
        packed = ((value * 256 + 242) // 243).astype(np.uint8)
    else:
        bits = 8 // per_byte
        packed = np.zeros(fields.shape[1:], np.uint8)
        for i, digit in enumerate(fields):
            packed |= digit << np.uint8(bits * i)
    return packed.reshape(len(packed), -1)


def _unpack_codes(packed: np.ndarray, kind: str, columns: int) -> np.ndarray:
    per_byte = CODES[kind].columns_per_vector // 4
    packed = packed.reshape(-1, columns // (4 * per_byte), TILE_ROWS, 4)
    if kind == "ternary-dense":
        digits: list[np.ndarray] = []
        rest: np.ndarray = packed.astype(np.uint16)
        for _ in range(per_byte):
            digits.append((rest * 3 >> 8).astype(np.uint8))
            rest = rest * 3 & 255
    else:
        bits = 8 // per_byte
        mask = np.uint8(2**bits - 1)
        digits = [packed >> np.uint8(bits * i) & mask for i in range(per_byte)]
    fields = np.stack(digits)  # digit, tile, vector, row, column
    return fields.transpose(1, 3, 2, 0, 4).reshape(-1, columns)


def _pack_scales(scales: np.ndarray, form: WeightFormat, rows: int, columns: int) -> np.ndarray:
    """uint8 [tiles, blocks, 64]."""
    groups = form.groups(columns)
    out = np.zeros((form.tiles(rows) * TILE_ROWS, groups), form.scale_type)
    out[:rows, : scales.shape[1]] = scales
    lines = np.ascontiguousarray(out.reshape(-1, TILE_ROWS, groups).transpose(0, 2, 1))
    return lines.view(np.uint8).reshape(form.tiles(rows), form.blocks(columns), ALIGNMENT)


def _unpack_scales(lines: np.ndarray, form: WeightFormat, rows: int, columns: int) -> np.ndarray:
    values = np.ascontiguousarray(lines).view(form.scale_type)
    values = values.reshape(len(lines), -1, TILE_ROWS).transpose(0, 2, 1)
    real = -(-columns // form.group) if form.group else 1
    return values.reshape(-1, values.shape[2])[:rows, :real].astype(np.float32)
