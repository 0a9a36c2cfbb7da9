"""Store one tensor as a recipe wants it: kept on its grid, quantized, or as floats."""

import math
from dataclasses import dataclass

import numpy as np

from edge.errors import RecipeError, SourceError
from edge.format import spec
from edge.format.formats import QuantizedTensor
from edge.format.writer import EdgeWriter

from .architectures.placement import Placement
from .quantize import Method, float_error, quantization_error, quantize
from .recipe import Recipe
from .rows import row_blocks
from .sources import Source

LARGEST_WEIGHT = 1e30  # beyond it, sums of squares and spans of groups overflow


@dataclass(frozen=True)
class Store:
    """Writes tensors of one source by one recipe; `force` applies it even where it ruins them."""

    writer: EdgeWriter
    source: Source
    recipe: Recipe
    force: bool

    def add(self, tensor: Placement) -> None:
        """Raises SourceError if the weights are broken, RecipeError if the recipe cannot hold."""
        if len(tensor.shape) == 1:
            self.writer.add_vector(tensor.name, self._read(tensor))
            return
        kept = self._kept(tensor)
        if kept is not None:
            self.writer.add_matrix(tensor.name, kept, error=0.0)
        elif self.recipe.method(tensor.name).format.is_float:
            self._add_floats(tensor)
        else:
            self.writer.add_matrix(tensor.name, *self._quantized(tensor))

    def _kept(self, tensor: Placement) -> QuantizedTensor | None:
        """The tensor on its source's grid, if the recipe keeps such grids."""
        kept = tensor.kept(self.source) if self.recipe.keeps else None
        if kept is None or kept.format.kind not in self.recipe.keeps:
            return None
        for part in (kept.scales, kept.offsets):
            if part is not None and not np.isfinite(part).all():
                raise self._not_finite(tensor)
        return kept

    def _quantized(self, tensor: Placement) -> tuple[QuantizedTensor, float]:
        matrix, method = self._read(tensor), self.recipe.method(tensor.name)
        stored, error = _measured(matrix, method)
        if error and method == self.recipe.body and self.recipe.inexact is not None:
            self._check_forced(tensor)
            return _measured(matrix, self.recipe.inexact)
        return stored, error

    def _add_floats(self, tensor: Placement) -> None:
        matrix, form = self._read(tensor), self.recipe.method(tensor.name).format
        error = float_error(matrix, form)
        if not math.isfinite(error):
            raise RecipeError(f"tensor {tensor.source!r} has weights beyond {form}; use float32")
        self.writer.add_float_matrix(tensor.name, matrix, form.kind, error)

    def _read(self, tensor: Placement) -> np.ndarray:
        """float32, all finite."""
        values = tensor.read(self.source)
        for at in row_blocks(values.shape):
            if not np.abs(values[at]).max() < LARGEST_WEIGHT:  # also where it is NaN
                raise self._not_finite(tensor)
        return values

    def _not_finite(self, tensor: Placement) -> SourceError:
        return SourceError(
            f"{self.source.name}: tensor {tensor.source!r} holds NaN or numbers beyond "
            f"{LARGEST_WEIGHT:g}: the file is broken"
        )

    def _check_forced(self, tensor: Placement) -> None:
        if not self.force:
            raise RecipeError(
                f"recipe {str(self.recipe)!r}: tensor {tensor.source!r} is not "
                f"{self.recipe.body.format}, and rounding it would ruin the model; "
                "choose int8 or int4 (or --force it)"
            )


def _measured(matrix: np.ndarray, method: Method) -> tuple[QuantizedTensor, float]:
    stored = quantize(matrix, method)
    return stored, quantization_error(matrix, stored)


def least_bytes(tensor: Placement, recipe: Recipe) -> int:
    """Bytes of a tensor in the file; where it may keep a grid not yet known, of the smallest."""
    if len(tensor.shape) == 1:
        return spec.nbytes("vector", tensor.stored_shape)
    form = str(recipe.method(tensor.name).format)
    forms = (form, "ternary") if recipe.keeps else (form,)
    return min(spec.nbytes(f, tensor.stored_shape) for f in forms)
