"""Matrices of integers with a scale and a zero point a group: what GPTQ, AWQ and others store."""

from dataclasses import dataclass, replace

import numpy as np

from edge.format.formats import CODES, QuantizedTensor, WeightFormat

from ..rows import row_blocks

HALF_A_STEP = 2.0**-11  # relative, of float16


@dataclass(frozen=True)
class IntegerMatrix:
    """w[r, c] = scales[r, g] * (codes[r, c] - zeros[r, g]), g the group of column c.

    bits    of a code
    codes   uint8 [rows, columns]
    zeros   int16 [rows, groups]
    scales  float32 [rows, groups]
    group   columns of a group; the last group may have fewer
    order   int64 [columns], each column's group where they are scattered (act-order), or None
    """

    bits: int
    codes: np.ndarray
    zeros: np.ndarray
    scales: np.ndarray
    group: int
    order: np.ndarray | None = None

    def values(self) -> np.ndarray:
        """float32 [rows, columns], one rounding each."""
        out = np.empty(self.codes.shape, np.float32)
        for at in row_blocks(self.codes.shape):
            np.subtract(self.codes[at], self._of_columns(self.zeros[at]), out=out[at])
            out[at] *= self._of_columns(self.scales[at])
        return out

    def on_grid(self, narrow: bool = True) -> QuantizedTensor | None:
        """The same codes in a format of ours; scales and offsets go to the nearest float16.

        None where the codes do not fit or float16 does not hold a scale to its precision.  Codes that
        fit into 4 bits take no more, if they may be `narrow`.  Scattered columns of a group are put
        side by side; None where there are more of them, or fewer, than make a group.
        """
        if self.order is None:
            return self._on_grid(narrow)
        columns = side_by_side(self.order, self.group)
        if columns is None:
            return None
        together = replace(self, codes=self.codes[:, columns], order=None)
        kept = together._on_grid(narrow)
        return None if kept is None else replace(kept, order=columns)

    def _on_grid(self, narrow: bool) -> QuantizedTensor | None:
        if not narrow:
            return self._centred("int8")
        kept = self._centred("int4")
        if kept is None and self.bits <= 4:
            kept = self._with_offset()
        return self._centred("int8") if kept is None else kept

    def _centred(self, kind: str) -> QuantizedTensor | None:
        """codes - zeros as codes around the format's own zero: no offset, nothing rounded."""
        group = self._our_group(kind)
        if group is None:
            return None
        form = WeightFormat(kind, group)
        levels = CODES[kind].levels
        codes = np.empty(self.codes.shape, np.uint8)
        for at in row_blocks(self.codes.shape):
            moved = self.codes[at] - self._of_columns(self.zeros[at] - np.int16(form.zero))
            if moved.min() < 0 or moved.max() >= levels:
                return None
            codes[at] = moved
        scales = self._spread(self.scales, form)
        return None if scales is None else QuantizedTensor(form, codes, scales)

    def _with_offset(self) -> QuantizedTensor | None:
        """The codes as they are; -scale * zero becomes a float16 offset."""
        group = self._our_group("int4")
        if group is None:
            return None
        form = WeightFormat("int4", group, offset=True)
        scales = self._spread(self.scales, form)
        offsets = self._spread(-self.scales * self.zeros, form)
        if scales is None or offsets is None:
            return None
        return QuantizedTensor(form, self.codes, scales, offsets)

    def _our_group(self, kind: str) -> int | None:
        """The largest of a format's groups that lies within the groups here."""
        if self.scales.shape[1] == 1:
            return 0 if 0 in CODES[kind].groups else max(CODES[kind].groups)
        return largest_group(kind, self.group)

    def _spread(self, per_group: np.ndarray, form: WeightFormat) -> np.ndarray | None:
        """float32 [rows, groups of the format], as its scale type holds them."""
        held = in_float16(per_group) if form.scale_type == np.float16 else per_group
        if held is None:
            return None
        width = form.group or self.codes.shape[1]
        starts = np.arange(0, self.codes.shape[1], width)
        return held[:, np.minimum(starts // self.group, per_group.shape[1] - 1)]

    def _of_columns(self, per_group: np.ndarray) -> np.ndarray:
        """[rows, groups] -> [rows, columns]."""
        if self.order is not None:
            return per_group[:, self.order]
        return np.repeat(per_group, self.group, axis=1)[:, : self.codes.shape[1]]


def side_by_side(groups: np.ndarray, size: int) -> np.ndarray | None:
    """int32 [columns], the columns group by group, for the group of each.

    None unless groups have `size` columns each (the last one maybe fewer).
    """
    columns = np.argsort(groups, kind="stable").astype(np.int32)
    fits = np.array_equal(groups[columns], np.arange(len(groups)) // size)
    return columns if fits else None


def largest_group(kind: str, group: int) -> int | None:
    """Of a format's groups, the largest that divides one."""
    fitting = [g for g in CODES[kind].groups if g and group % g == 0]
    return max(fitting, default=None)


def in_float16(values: np.ndarray) -> np.ndarray | None:
    """The nearest float16, as float32; None where it is beyond its range."""
    held = values.astype(np.float16).astype(np.float32)
    close = np.abs(held - values) <= HALF_A_STEP * np.abs(values)
    return held if close.all() else None


def signed_bytes(
    codes: np.ndarray, zeros: np.ndarray, scales: np.ndarray, group: int
) -> IntegerMatrix:
    """Of int8 codes and zero points, which become unsigned."""
    unsigned = np.ascontiguousarray(codes).view(np.uint8) ^ 0x80
    return IntegerMatrix(8, unsigned, zeros.astype(np.int16) + 128, scales, group)
