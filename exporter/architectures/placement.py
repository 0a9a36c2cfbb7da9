"""Where each of our tensors comes from in a checkpoint: renamed, unfused, padded."""

from dataclasses import dataclass, replace

import numpy as np

from edge.format.addends import LowRank
from edge.format.formats import CODEBOOK_ROWS, QuantizedTensor

from ..rows import rows_of
from ..sources import Source
from ..sources.lora import LoraSource


@dataclass(frozen=True)
class HeadPadding:
    """Zeros behind each head of a tensor, along rows (axis 0) or columns (axis 1)."""

    axis: int
    head_dim: int  # as the model has it
    padded: int

    def length(self, n: int) -> int:
        """What n rows or columns become."""
        return n // self.head_dim * self.padded

    def pad(self, array: np.ndarray, fill: int = 0) -> np.ndarray:
        """The same array with `fill` behind each head."""
        before, after = array.shape[: self.axis], array.shape[self.axis + 1 :]
        heads = array.shape[self.axis] // self.head_dim
        split = array.reshape(*before, heads, self.head_dim, *after)
        widths = [(0, 0)] * split.ndim
        widths[self.axis + 1] = (0, self.padded - self.head_dim)
        padded = np.pad(split, widths, constant_values=fill)
        return padded.reshape(*before, heads * self.padded, *after)


@dataclass(frozen=True)
class Placement:
    """One of our tensors, and how it is made from one of the source's.

    name       ours
    source     the name in the source
    shape      before padding
    first_row  in the source's tensor, where several of ours are fused in it
    padding    of heads, or None
    offset     added to every value (Gemma stores the gain of a norm less 1)
    """

    name: str
    source: str
    shape: tuple[int, ...]
    first_row: int = 0
    padding: HeadPadding | None = None
    offset: float = 0.0

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.shape[0])

    @property
    def stored_shape(self) -> tuple[int, ...]:
        if self.padding is None:
            return self.shape
        shape = list(self.shape)
        shape[self.padding.axis] = self.padding.length(shape[self.padding.axis])
        return tuple(shape)

    def read(self, source: Source) -> np.ndarray:
        """float32 of `stored_shape`."""
        values = source.read(self.source)[self.rows]
        if self.padding is not None:
            values = self.padding.pad(values)
        return values + np.float32(self.offset) if self.offset else values

    def kept(self, source: Source) -> QuantizedTensor | None:
        """The tensor on the source's own grid; None if edge cannot store it exactly.

        The embedding is looked up, so its columns have no other order.  Rows of padding have a scale
        of 0.  Columns of padding have the code of 0, which takes one
        scale a row: the groups of a grouped tensor would straddle heads.
        """
        tensor = source.kept(self.source)
        if tensor is None or (self.name == "embedding.weight" and tensor.order is not None):
            return None
        tensor = rows_of(tensor, self.rows)
        if self.padding is None:
            return tensor
        padded = _padded_rows if self.padding.axis == 0 else _padded_columns
        return padded(tensor, self.padding)

    def beside(self, source: LoraSource) -> LowRank | None:
        """What lies beside the kept tensor, of `stored_shape`."""
        pair = source.beside(self.source)
        if pair is None:
            return None
        pair = LowRank(pair.left[self.rows], pair.right)
        if self.padding is None:
            return pair
        if self.padding.axis == 0:
            return LowRank(self.padding.pad(pair.left), pair.right)
        return LowRank(pair.left, self.padding.pad(pair.right))


def _padded_rows(tensor: QuantizedTensor, padding: HeadPadding) -> QuantizedTensor:
    codes = padding.pad(tensor.codes, tensor.format.zero)
    padded, books = replace(tensor.each(padding.pad), codes=codes), tensor.codebooks
    if books is None:
        return padded
    # sources have one for all rows
    return replace(padded, codebooks=np.tile(books[:1], (-(-len(codes) // CODEBOOK_ROWS), 1)))


def _padded_columns(tensor: QuantizedTensor, padding: HeadPadding) -> QuantizedTensor | None:
    if tensor.format.group:
        return None
    codes = padding.pad(tensor.codes, tensor.format.zero)
    return QuantizedTensor(tensor.format, codes, tensor.scales)
