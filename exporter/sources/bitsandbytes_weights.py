"""bitsandbytes checkpoints: 4-bit code books (NF4, FP4) and LLM.int8().

4 bits: `weight` holds two codes a byte, the first in the high nibble, of the matrix row by row;
`weight.quant_map` float32 [16] says what they mean, `weight.absmax` float32 what a block of 64
(or another `blocksize`) is multiplied by. With double quantization absmax is uint8:
nested_quant_map[absmax] * nested_absmax[block of blocks] + nested_offset.
`weight.quant_state.bitsandbytes__nf4` is a JSON document as uint8: shape, block sizes, offset.

8 bits: `weight` int8 and `SCB` float32 [rows], the largest magnitude of a row, which is code 127.

Source: bitsandbytes, functional.py (QuantState) and nn/modules.py (Linear8bitLt).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edge.errors import UnsupportedModel
from edge.format.formats import CODEBOOK_ROWS, QuantizedTensor, WeightFormat

from .files import json_object
from .integer_matrix import IntegerMatrix, in_float16, largest_group, signed_bytes
from .packed_matrix import Encoding, PackedIntegers, PackedMatrix, Parts, modules
from .shards import Shards

STATE = "weight.quant_state.bitsandbytes__"
STORAGE = ("U8", "F16", "BF16", "F32")  # bnb_4bit_quant_storage
CODE_BOOKS = ("nf4", "fp4")
OF_BLOCKS = ("weight.absmax", "weight.quant_map")
NESTED = ("weight.nested_absmax", "weight.nested_quant_map")
LARGEST_CODE = 127
LARGEST_BLOCK, LARGEST_SIDE = 1 << 20, 1 << 31


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    """Raises SourceError (parts do not fit), UnsupportedModel (another layout)."""
    found: dict[str, PackedMatrix] = {}
    for book in CODE_BOOKS:
        for parts in modules(tensors, STATE + book, ("weight", *OF_BLOCKS), NESTED):
            found[f"{parts.module}.weight"] = _four_bits(parts, STATE + book)
    for parts in modules(tensors, "SCB", ("weight",), ("weight_format",)):
        found[f"{parts.module}.weight"] = _eight_bits(parts)
    return found


BITSANDBYTES = Encoding(
    _find, partners=(*OF_BLOCKS, *NESTED, "SCB", "weight_format", *(STATE + b for b in CODE_BOOKS))
)


@dataclass(frozen=True)
class CodeBookMatrix:
    """Four-bit codes in blocks of the flattened matrix; `state` as in the JSON document."""

    stored: Parts
    shape: tuple[int, int]
    block: int
    nested_block: int
    nested_offset: float

    @property
    def parts(self) -> tuple[str, ...]:
        return self.stored.all

    def read(self) -> np.ndarray:
        values = self._looked_up(self.stored.read("weight.quant_map"))
        blocks = np.pad(values, (0, -len(values) % self.block)).reshape(-1, self.block)
        blocks *= self._largest()[:, None]
        return blocks.reshape(-1)[: len(values)].reshape(self.shape)

    def kept(self) -> QuantizedTensor | None:
        """The same codes, in ascending order of what they mean; levels go to the nearest int8."""
        group = largest_group("code4", self.block)
        if group is None or self.shape[1] % self.block:
            return None
        book = self.stored.read("weight.quant_map")
        order = np.argsort(book, kind="stable")
        levels, unit = _int8_levels(book[order])
        codes = self._looked_up(np.argsort(order).astype(np.uint8)).reshape(self.shape)
        scales = in_float16(self._largest().reshape(len(codes), -1) * unit)
        if scales is None:
            return None
        scales = np.repeat(scales, self.block // group, axis=1)
        codebooks = np.tile(levels, (-(-len(codes) // CODEBOOK_ROWS), 1))
        return QuantizedTensor(WeightFormat("code4", group), codes, scales, codebooks=codebooks)

    def _looked_up(self, table: np.ndarray) -> np.ndarray:
        """What each code is in a table of 16, [rows * columns]."""
        packed = self.stored.stored("weight").reshape(-1).view(np.uint8)
        pairs = np.stack([table[np.arange(256) >> 4], table[np.arange(256) & 15]], axis=1)
        return pairs[packed].reshape(-1)[: math.prod(self.shape)]

    def _largest(self) -> np.ndarray:
        """float32 [blocks], the largest magnitude of each."""
        absmax = self.stored.stored("weight.absmax")
        if not self.nested_block:
            return absmax
        book = self.stored.read("weight.nested_quant_map")
        outer = np.repeat(self.stored.read("weight.nested_absmax"), self.nested_block)
        largest: np.ndarray = book[absmax] * outer[: len(absmax)] + np.float32(self.nested_offset)
        return largest


def _int8_levels(book: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """(int8 [16], what 1 of them is): the largest level at that up to 127 where rounding least
    moves the others (NF4: 0.5 % of a normal weight's size; 0.6 % at 127)."""
    units = np.abs(book).max() / np.arange(LARGEST_CODE // 2, LARGEST_CODE + 1, dtype=np.float32)
    levels = np.rint(book / units[:, None])
    moved = np.square(levels * units[:, None] - book).sum(axis=1)
    best = np.argmin(moved)
    return levels[best].astype(np.int8), units[best]


def _four_bits(parts: Parts, state_name: str) -> CodeBookMatrix:
    state = _state(parts, state_name)
    sizes = state.get("shape")
    if not isinstance(sizes, list) or len(sizes) != 2:
        raise parts.error(state_name, f"a matrix of shape {sizes!r:.60}")
    rows, columns = (_size(n, LARGEST_SIDE, parts, state_name) for n in sizes)
    block = _size(state.get("blocksize"), LARGEST_BLOCK, parts, state_name)
    count = rows * columns
    blocks = -(-count // block)
    nested = "weight.nested_absmax" in parts
    parts.check("weight.quant_map", ("F32",), (16,))
    parts.check("weight.absmax", ("U8",) if nested else ("F32",), (blocks,))
    if parts.dtype("weight") not in STORAGE or parts.nbytes("weight") != (count + 1) // 2:
        raise parts.error("weight", f"{parts.nbytes('weight')} bytes for {rows} x {columns} codes")
    outer, offset = _nested(parts, state, state_name, blocks) if nested else (0, 0.0)
    return CodeBookMatrix(parts, (rows, columns), block, outer, offset)


def _state(parts: Parts, name: str) -> dict[str, Any]:
    text = parts.stored(name)
    if text.dtype != np.uint8 or text.ndim != 1:
        raise parts.error(name, "not a text in bytes")
    where = parts.tensors.where(f"{parts.module}.{name}")
    return json_object(text.tobytes().decode(errors="replace"), where)


def _nested(parts: Parts, state: dict[str, Any], state_name: str, blocks: int) -> tuple[int, float]:
    """(blocks that share an outer scale, what is added)."""
    block = _size(state.get("nested_blocksize"), LARGEST_BLOCK, parts, state_name)
    offset = state.get("nested_offset")
    if not isinstance(offset, int | float) or NESTED[1] not in parts:
        raise parts.error(state_name, f"scales of scales with the offset {offset!r:.40}")
    parts.check("weight.nested_quant_map", ("F32",), (256,))
    parts.check("weight.nested_absmax", ("F32",), (-(-blocks // block),))
    return block, float(offset)


def _size(value: Any, most: int, parts: Parts, state_name: str) -> int:
    if type(value) is not int or not 0 < value <= most:
        raise parts.error(state_name, f"a size of {value!r:.40}")
    return value


def _eight_bits(parts: Parts) -> PackedIntegers:
    rows, columns = parts.matrix_shape("weight", ("I8",))
    parts.check("SCB", ("F32",), (rows,))
    if "weight_format" in parts and parts.stored("weight_format").any():
        raise UnsupportedModel(
            f"{parts.tensors.where(parts.module + '.weight')}: int8 in tiles of a GPU; save the "
            "model with a newer bitsandbytes, which stores rows"
        )
    return PackedIntegers(parts.all, (rows, columns), partial(_decode_eight_bits, parts))


def _decode_eight_bits(parts: Parts) -> IntegerMatrix:
    codes = parts.stored("weight")
    scales = parts.read("SCB")[:, None] / np.float32(LARGEST_CODE)
    return signed_bytes(codes, np.zeros(scales.shape, np.int16), scales, codes.shape[1])
