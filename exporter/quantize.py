"""A float matrix onto the grid of a weight format, and how far that moves it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from edge.format.formats import QuantizedTensor, WeightFormat

from .codebooks import codebook_method
from .refinements import refinement
from .registry import find
from .rounding import data_rounding, rounding_method
from .rounding.nearest import nearest
from .rows import joined, row_blocks, rows_of
from .scales import scale_method
from .scales.two_level import two_levels

T = TypeVar("T")

REFINED_ROWS = 512  # side by side: more share the work of a column


@dataclass(frozen=True)
class Method:
    """How a matrix is stored; float formats have neither scales nor rounding, few throw dice.

    scales      a method of scales, of code4 one of codebooks
    refinement  what comes after rounding, or ""
    addends     methods of what is kept beside the matrix (augmented.py)
    activation  scales of the int8 codes it reads: "" as its format has them, "token" or "static";
                "float" if it reads floats
    range       how a static one is chosen, in a graph; of edge.exporter.ranges
    shift       what is taken off before, of edge.exporter.shifts, or ""
    """

    format: WeightFormat
    scales: str = ""
    rounding: str = "rtn"
    seed: int = 0
    refinement: str = ""
    addends: tuple[str, ...] = ()
    activation: str = ""
    range: str = "range_minmax"
    shift: str = ""

    @property
    def needs_data(self) -> bool:
        names = (self.scales, self.rounding, self.refinement)
        return any(find(name).needs_data for name in names if name)

    def without_data(self) -> "Method":
        """The plain method of the same format, with the same addends."""
        scales = "minmax" if self.format.offset else "absmax"
        if self.format.has_codebook:
            scales = "kmeans" if find(self.scales).needs_data else self.scales
        return replace(self, scales=scales, rounding="rtn", seed=0, refinement="")


def quantize(matrix: np.ndarray, method: Method, h: np.ndarray | None = None) -> QuantizedTensor:
    """float32 [rows, columns] on the method's grid, blocks of rows side by side on all cores.

    `h`: second moments of the matrix's input [columns, columns], for methods that need data.
    """
    stored = _rounded(matrix, method, h)
    if not method.refinement:
        return stored
    assert h is not None
    return _refined(matrix, stored, method.refinement, h)


def _rounded(matrix: np.ndarray, method: Method, h: np.ndarray | None) -> QuantizedTensor:
    if method.format.has_codebook:
        return _on_codebooks(matrix, method, h)
    grid = _grid(matrix, method, h)
    if find(method.rounding).needs_data:
        assert h is not None
        codes = data_rounding(method.rounding)(matrix, *grid.steps(), method.format, h)
    else:
        codes = _codes(matrix, grid, method)
    return replace(grid, codes=codes)


def _refined(
    matrix: np.ndarray, stored: QuantizedTensor, name: str, h: np.ndarray
) -> QuantizedTensor:
    refine, parts = refinement(name), dict[int, QuantizedTensor]()

    def block(at: slice) -> None:
        parts[at.start] = refine(matrix[at], rows_of(stored, at), h)

    _on_all_cores(block, [slice(i, i + REFINED_ROWS) for i in range(0, len(matrix), REFINED_ROWS)])
    return joined([parts[start] for start in sorted(parts)])


def _on_codebooks(matrix: np.ndarray, method: Method, h: np.ndarray | None) -> QuantizedTensor:
    form, groups = method.format, grouped(matrix, method.format.group)
    weights = None
    if find(method.scales).needs_data:
        assert h is not None
        weights = _by_group(np.diagonal(h), form.group)
    scales, codebooks = codebook_method(method.scales)(groups, form, weights)
    if find(method.rounding).needs_data:
        assert h is not None
        round_ = data_rounding(method.rounding)
        codes = round_(matrix, scales, None, form, h, codebooks=codebooks)
    else:
        codes = nearest(groups, scales, codebooks)
        codes = codes.reshape(len(codes), -1)[:, : matrix.shape[1]]
    return QuantizedTensor(form, codes, scales, codebooks=codebooks)


def _by_group(columns: np.ndarray, width: int) -> np.ndarray:
    """float32 [groups, width]: 0 behind the last column."""
    padded = np.pad(columns.astype(np.float32), (0, -len(columns) % width))
    return padded.reshape(-1, width)


def _grid(matrix: np.ndarray, method: Method, h: np.ndarray | None) -> QuantizedTensor:
    """The tensor but for its codes, which are yet to be chosen."""
    form, width = method.format, method.format.step_columns or matrix.shape[1]
    fit, weights = scale_method(method.scales, h), None
    if h is not None and form.multiplier_columns:
        weights = _by_group(np.diagonal(h), width)

    def block(at: slice) -> dict[str, np.ndarray]:
        groups = grouped(matrix[at], width)
        grid = fit(groups, form)
        if form.multiplier_columns:
            return two_levels(groups, grid, form, weights)
        named = zip(("scales", "offsets"), grid, strict=True)
        return {name: part for name, part in named if part is not None}

    blocks = _on_all_cores(block, _blocks(matrix.shape, method.scales))
    parts = {name: np.concatenate([found[name] for found in blocks]) for name in blocks[0]}
    none = np.broadcast_to(np.uint8(0), matrix.shape)  # takes no memory
    return QuantizedTensor(form, none, **parts)


def _codes(matrix: np.ndarray, grid: QuantizedTensor, method: Method) -> np.ndarray:
    form, columns = method.format, matrix.shape[1]
    round_ = rounding_method(method.rounding, method.seed)
    scales, offsets = grid.steps()
    codes = np.empty(matrix.shape, np.uint8)

    def block(at: slice) -> None:
        groups = grouped(matrix[at], form.step_columns or columns)
        fitted = None if offsets is None else offsets[at]
        rounded = round_(groups, scales[at], fitted, form)
        codes[at] = rounded.reshape(len(rounded), -1)[:, :columns]

    _on_all_cores(block, _blocks(matrix.shape, method.rounding))
    return codes


def _blocks(shape: tuple[int, ...], name: str) -> list[slice]:
    """Of rows, as the method of that name sees them."""
    return [slice(0, shape[0])] if find(name).whole else list(row_blocks(shape))


def _on_all_cores(work: Callable[[slice], T], blocks: list[slice]) -> list[T]:
    """NumPy lets other threads run while it computes."""
    if len(blocks) == 1:
        return [work(blocks[0])]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(work, blocks))


def grouped(block: np.ndarray, width: int) -> np.ndarray:
    """float32 [rows, groups, width]; the last column is repeated to fill the last group."""
    missing = -block.shape[1] % width
    if missing:
        block = np.pad(block, ((0, 0), (0, missing)), mode="edge")
    return block.reshape(len(block), -1, width)


def quantization_error(matrix: np.ndarray, tensor: QuantizedTensor) -> float:
    """||W - Q(W)|| / ||W||, Frobenius norms."""
    return relative_error(matrix, lambda at: rows_of(tensor, at).dequantize())


def float_error(matrix: np.ndarray, form: WeightFormat) -> float:
    """The same, of a matrix stored as floats; infinite where a value does not fit."""
    with np.errstate(over="ignore"):
        return relative_error(matrix, lambda at: matrix[at].astype(form.kind))


def relative_error(matrix: np.ndarray, stored: Callable[[slice], np.ndarray]) -> float:
    """Sums in float64."""
    moved = total = 0.0
    for at in row_blocks(matrix.shape):
        difference = matrix[at] - stored(at).astype(np.float32)
        moved += _squares(difference)
        total += _squares(matrix[at])
    return float(np.sqrt(moved / total)) if moved else 0.0


def _squares(block: np.ndarray) -> float:
    flat = block.ravel().astype(np.float64)
    return float(flat @ flat)
