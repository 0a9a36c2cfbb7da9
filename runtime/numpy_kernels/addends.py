"""What rides beside a matrix; arguments as in kernels/addends.py."""

import numpy as np

from ..kernels.layout import ACTIVATION_TOKENS
from .memory import floats, integer, tokens_of, view


def take_out(args: list[int], chunks: range) -> None:
    """OUT = X with 0 in some columns; TAKEN = what was there."""
    end, x, x_stride, out, out_stride, width, columns, count, taken, taken_stride = args[:10]
    first, tokens = tokens_of(chunks, ACTIVATION_TOKENS, integer(end))
    source = floats(x + first * x_stride, tokens, width, x_stride)
    rest = floats(out + first * out_stride, tokens, width, out_stride)
    where = view(columns, (count,), "<i4")
    floats(taken + first * taken_stride, tokens, count, taken_stride)[:] = source[:, where]
    rest[:] = source
    rest[:, where] = 0


def take_columns(args: list[int], chunks: range) -> None:
    """OUT = X's columns, in the order of COLUMNS."""
    end, x, x_stride, out, out_stride, width, columns, count = args[:8]
    first, tokens = tokens_of(chunks, ACTIVATION_TOKENS, integer(end))
    source = floats(x + first * x_stride, tokens, width, x_stride)
    taken = floats(out + first * out_stride, tokens, count, out_stride)
    taken[:] = source[:, view(columns, (count,), "<i4")]


def sparse_add(args: list[int], chunks: range) -> None:
    """SUM[token, row] += the row's entries times Y[token]."""
    first, last, rows, rows_per_chunk, begins, entries, y, y_stride, out, out_stride = args[:10]
    token, tokens = integer(first), integer(last) - integer(first)
    start, stop = chunks.start * rows_per_chunk, min(chunks.stop * rows_per_chunk, rows)
    ends = view(begins + 4 * start, (stop - start + 1,), "<i4")
    count = int(ends[-1] - ends[0])
    if not count or not tokens:
        return
    words = view(entries + 4 * int(ends[0]), (count,), "<u4")
    columns, values = words & 0xFFFF, (words >> 16).astype("<u2").view("<f2").astype(np.float32)
    x = floats(y + token * y_stride, tokens, int(columns.max()) + 1, y_stride)
    row = np.repeat(np.arange(stop - start), np.diff(ends))
    sums = floats(out + 4 * start, tokens, stop - start, out_stride)
    for i in range(tokens):
        sums[i] += np.bincount(row, values * x[i, columns], stop - start)
