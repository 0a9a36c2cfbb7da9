"""Checkpoints of 8-bit floats ("fp8": DeepSeek, Qwen): weights with scales of blocks beside them.

weight            float8 [rows, columns]
weight_scale_inv  float [row blocks, column blocks], what a block is multiplied by in spite of its
                  name; weight_scale, of some tools: [1], [rows, 1] or such blocks

Source: transformers/integrations/finegrained_fp8.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.format.formats import QuantizedTensor

from ..rows import row_blocks
from .packed_matrix import FLOATS, Encoding, PackedMatrix, Parts, modules
from .shards import Shards

TYPES = ("F8_E4M3", "F8_E5M2")
SCALES = ("weight_scale_inv", "weight_scale")


def _find(settings: dict[str, Any], tensors: Shards) -> dict[str, PackedMatrix]:
    """Raises SourceError if parts do not fit."""
    block = settings.get("weight_block_size")
    found: dict[str, PackedMatrix] = {}
    for scale in SCALES:
        for parts in modules(tensors, scale, ("weight",)):
            found[f"{parts.module}.weight"] = float8_matrix(parts, scale, block)
    return found


FLOAT8 = Encoding(_find, SCALES, ("input_scale", "activation_scale", "k_scale", "v_scale"))


@dataclass(frozen=True)
class Float8Matrix:
    """w[r, c] = weight[r, c] * scale[r / block rows, c / block columns]."""

    stored: Parts
    scale: str  # what the part is called
    shape: tuple[int, int]
    block: tuple[int, int]

    @property
    def parts(self) -> tuple[str, ...]:
        return self.stored.all

    def read(self) -> np.ndarray:
        values = self.stored.read("weight")
        rows, columns = (np.arange(n) // b for n, b in zip(self.shape, self.block, strict=True))
        scales = self.stored.read(self.scale).reshape(rows[-1] + 1, columns[-1] + 1)
        for at in row_blocks(self.shape):
            values[at] *= scales[rows[at]][:, columns]
        return values

    def kept(self) -> QuantizedTensor | None:
        return None


def float8_matrix(parts: Parts, scale: str, block: Any) -> Float8Matrix:
    """`block`: [rows, columns] of a block as the settings say, or None."""
    shape = parts.matrix_shape("weight", TYPES)
    if parts.dtype(scale) not in FLOATS:
        raise parts.error(scale, f"scales of type {parts.dtype(scale)}")
    return Float8Matrix(parts, scale, shape, _block(parts, scale, shape, block))


def _block(parts: Parts, scale: str, shape: tuple[int, int], stated: Any) -> tuple[int, int]:
    """Rows and columns that share a scale."""
    found, (rows, columns) = parts.shape(scale), shape
    if found in ((), (1,), (1, 1)):
        return shape
    if found in ((rows,), (rows, 1)):
        return 1, columns
    if _is_block(stated) and (-(-rows // stated[0]), -(-columns // stated[1])) == found:
        return stated[0], stated[1]
    raise parts.error(scale, f"scales of shape {list(found)} for a matrix of {list(shape)}")


def _is_block(block: Any) -> bool:
    return (
        isinstance(block, list | tuple)
        and len(block) == 2
        and all(type(n) is int and 0 < n < 2**31 for n in block)
    )
