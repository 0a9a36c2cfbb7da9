"""A matrix on a grid, together with what is kept beside it."""

from dataclasses import dataclass, field, replace

import numpy as np

from edge.errors import RecipeError
from edge.format.addends import MOST_COLUMNS, Addends, Outliers, Sparse
from edge.format.formats import QuantizedTensor

from .addends import AFTER, BEFORE, at_stage
from .quantize import Method, quantization_error, quantize, relative_error
from .registry import find


@dataclass(frozen=True)
class Augmented:
    tensor: QuantizedTensor
    addends: Addends = field(default_factory=Addends)

    def dequantize(self) -> np.ndarray:
        """float32 [rows, columns]: what both mean together."""
        return self.addends.add_to(self.tensor.dequantize())

    def error(self, matrix: np.ndarray) -> float:
        """||W - Q(W)|| / ||W||, Frobenius norms."""
        if not self.addends:  # a block of rows at a time
            return quantization_error(matrix, self.tensor)
        values = self.dequantize()
        return relative_error(matrix, lambda at: values[at])


def augmented(
    matrix: np.ndarray,
    method: Method,
    h: np.ndarray | None = None,
    inputs: np.ndarray | None = None,
) -> Augmented:
    """By the method and its addends; `h` as in quantize, `inputs` as in edge.exporter.addends.

    Raises RecipeError for weights that addends cannot hold.
    """
    if not method.addends:
        return Augmented(quantize(matrix, method, h))
    columns, places = _apart(matrix, method, inputs)
    rest = np.where(places | columns, np.float32(0), matrix)
    if h is not None:  # those inputs are 0 to what is quantized
        h = np.where(columns | columns[:, None], 0, h)
    tensor = quantize(rest, method, h)
    addends = _kept(matrix, tensor, method, columns, places)
    for part in at_stage(AFTER, method.addends):
        left = matrix - addends.add_to(tensor.dequantize())
        addends = replace(addends, low_rank=part.call(np.where(columns, np.float32(0), left)))
    return Augmented(tensor, addends)


def _apart(
    matrix: np.ndarray, method: Method, inputs: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """bool [columns] and [rows, columns] of what is not to be quantized."""
    columns, places = np.zeros(matrix.shape[1], bool), np.zeros(matrix.shape, bool)
    for part in at_stage(BEFORE, method.addends):
        chosen = part.call(np.where(places | columns, np.float32(0), matrix), inputs)
        if chosen.ndim == 1:
            columns |= chosen
        else:
            places |= chosen
    places &= ~columns
    if places.any() and matrix.shape[1] > MOST_COLUMNS:
        raise RecipeError(
            f"a matrix of {matrix.shape[1]} columns cannot keep entries apart, which takes at most "
            f"{MOST_COLUMNS}"
        )
    return columns, places


def _kept(
    matrix: np.ndarray,
    tensor: QuantizedTensor,
    method: Method,
    columns: np.ndarray,
    places: np.ndarray,
) -> Addends:
    """GPTQ and its like have made up already for what rounding did to the zeros at those places."""
    kept = _halves(matrix)
    by_data = any(find(n).needs_data for n in (method.rounding, method.refinement) if n)
    entries = kept if by_data else _halves(matrix - tensor.dequantize())
    at = np.flatnonzero(columns).astype(np.int32)
    return Addends(
        outliers=Outliers(at, kept[:, at]) if len(at) else None,
        sparse=Sparse.of(entries, places) if places.any() else None,
    )


def _halves(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        rounded: np.ndarray = values.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise RecipeError("weights beyond float16 cannot be kept apart; leave addends out")
    return rounded
