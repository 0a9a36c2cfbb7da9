"""Matrix products of every weight format: out[token, row] = W x + bias + residual.

As kernels/matmul.py and the formats beside it do it: whole numbers, int8 codes of activations
times codes of weights, are summed over a run of columns; then come the scales.  Whole numbers
travel as float32, which is what NumPy multiplies fast: below 2**24 it is exact.  Codes are signed
here, so of starts (what the zero of unsigned ones adds) nothing is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge.format.formats import TILE_ROWS, WeightFormat

from ..lowering.buffers import encoding
from .memory import Kernel, floats, integer, view
from .weights import Tiles, padded_columns, whole_numbers

EXACT_COLUMNS = 1024  # 1024 * 127 * 128 < 2**24
TOKENS = 64  # at a time: bounds the memory that sums of runs take


@dataclass(frozen=True)
class _Inputs:
    """Activations of `count` tokens from `token`; arguments as in kernels/matmul.py."""

    args: list[int]
    token: int
    count: int

    def floats(self, columns: int) -> np.ndarray:
        return self._rows(7, 8, columns, "<f4")

    def codes(self, columns: int) -> np.ndarray:
        """float32 [tokens, columns]"""
        return self._rows(7, 8, columns, "i1").astype(np.float32)

    def scales(self, groups: int) -> np.ndarray:
        return self._rows(9, 11, groups, "<f4")

    def moments(self, groups: int) -> np.ndarray:
        return self._rows(10, 11, groups, "<f4")

    def _rows(self, address: int, stride: int, columns: int, kind: str) -> np.ndarray:
        stride = self.args[stride]
        start = self.args[address] + self.token * stride
        return view(start, (self.count, columns), kind, (stride,))


_Product = Callable[[_Inputs], np.ndarray]  # float32 [tokens, rows] of a run of tiles
_Unpack = Callable[[Tiles, range], _Product]


def kernel(form: WeightFormat) -> Kernel:
    unpack = {"float": _floats, "row": _by_row}.get(encoding(form).sink, _by_run)
    return lambda args, chunks: _matmul(form, unpack, args, chunks)


def weight_only(kind: str) -> Kernel:
    """kernels/weight_only.py: the format is among the arguments."""

    def matmul(args: list[int], chunks: range) -> None:
        _matmul(WeightFormat(kind, args[9], bool(args[11])), _floats, args, chunks)

    return matmul


def _matmul(form: WeightFormat, unpack: _Unpack, args: list[int], chunks: range) -> None:
    first, end = integer(args[0]), integer(args[1])
    tiles, tiles_per_chunk, weight, tile_bytes, steps = args[2:7]
    columns = steps if form.is_float else padded_columns(form, tile_bytes)
    matrix = Tiles(form, weight, tile_bytes, columns)
    last = min(chunks.stop * tiles_per_chunk, tiles)
    for run in matrix.runs(chunks.start * tiles_per_chunk, last):
        product = unpack(matrix, run)
        for token in range(first, end, TOKENS):
            x = _Inputs(args, token, min(TOKENS, end - token))
            _store(args, run.start, token - first, product(x))


def _store(args: list[int], tile: int, token: int, products: np.ndarray) -> None:
    """Add bias and residual (addresses or 0; the residual has the output's layout) and store."""
    out, stride, bias, residual = args[12:16]
    tokens, rows = products.shape
    at = token * stride + 4 * TILE_ROWS * tile
    if bias:
        products += view(bias + 4 * TILE_ROWS * tile, (rows,), "<f4")
    if residual:
        products += floats(residual + at, tokens, rows, stride)
    floats(out + at, tokens, rows, stride)[:] = products


def _floats(matrix: Tiles, tiles: range) -> _Product:
    weights = matrix.floats(tiles).T
    return lambda x: x.floats(x.args[6]) @ weights[: x.args[6]]


def _by_row(matrix: Tiles, tiles: range) -> _Product:
    """A scale a row: the sum over all columns is one whole number."""
    tensor = matrix.quantized(tiles)
    codes = whole_numbers(tensor).T

    def product(x: _Inputs) -> np.ndarray:
        q = x.codes(matrix.columns)
        total = np.zeros((x.count, codes.shape[1]))  # float64: exact beyond 2**24
        for begin in range(0, matrix.columns, EXACT_COLUMNS):
            part = slice(begin, begin + EXACT_COLUMNS)
            total += q[:, part] @ codes[part]
        sums: np.ndarray = total.astype(np.float32)
        sums *= tensor.scales.T * x.scales(1)
        return sums

    return product


def _by_run(matrix: Tiles, tiles: range) -> _Product:
    """A scale a group: a whole number for each run of columns that share both their scales."""
    tensor, form = matrix.quantized(tiles), matrix.form
    width = 256 if encoding(form).sink == "row256" else 32
    runs = matrix.columns // width
    codes = _by_columns(whole_numbers(tensor), runs)
    scales = _spread(tensor.scales, form.group // width, runs)[:, None]
    _, shifts = tensor.steps()
    if shifts is not None:
        repeats = max(form.step_columns // width, 1)
        shifts = _spread(shifts, repeats, matrix.columns // min(form.step_columns, width))

    def product(x: _Inputs) -> np.ndarray:
        sums = _by_columns(x.codes(matrix.columns), runs).transpose(0, 2, 1) @ codes
        sums *= x.scales(runs).T[:, :, None]  # in place: new arrays of this size cost as much
        sums *= scales
        total: np.ndarray = sums.sum(axis=0)
        if shifts is not None:
            total += x.moments(len(shifts)) @ shifts
        return total

    return product


def _by_columns(codes: np.ndarray, runs: int) -> np.ndarray:
    """[runs, columns of a run, rows] of [rows, columns]"""
    return codes.reshape(len(codes), runs, -1).transpose(1, 2, 0)


def _spread(values: np.ndarray, repeats: int, runs: int) -> np.ndarray:
    """[runs, rows] of [rows, groups of so many runs, the last perhaps shorter]"""
    return np.repeat(values, repeats, axis=1)[:, :runs].T
