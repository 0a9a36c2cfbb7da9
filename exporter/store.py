"""Store one tensor as a recipe wants it: kept on its grid, quantized, or as floats."""

import math
from dataclasses import dataclass

import numpy as np

from edge.errors import RecipeError
from edge.format import spec
from edge.format.addends import Addends
from edge.format.formats import QuantizedTensor
from edge.format.writer import EdgeWriter

from .architectures.placement import Placement
from .augmented import Augmented, augmented
from .calibration.statistics import Statistics, is_of_layer
from .layer_error import output_error
from .quantize import Method, float_error
from .recipe import Recipe
from .transforms import corrections
from .weights import Weights


@dataclass
class Store:
    """Writes a model's tensors by one recipe; `force` applies it even where it ruins them.

    statistics  what matrices read, where the recipe needs data

    The writer gets a note on each matrix where data-aware methods lost: what they were left for.
    """

    writer: EdgeWriter
    weights: Weights
    recipe: Recipe
    force: bool
    statistics: Statistics | None = None

    def add(self, tensor: Placement) -> None:
        """Raises SourceError if the weights are broken, RecipeError if the recipe cannot hold."""
        if len(tensor.shape) == 1:
            self.writer.add_vector(tensor.name, self.weights.read(tensor.name))
            return
        kept = self._kept(tensor)
        if kept is not None:
            self._add_kept(tensor.name, kept)
        elif self.recipe.method(tensor.name).format.is_float:
            self._add_floats(tensor)
        else:
            matrix = self.weights.read(tensor.name)
            stored, error = self._quantized(tensor, matrix)
            self._add_in_scale(tensor.name)
            self._correct(tensor.name, matrix, stored)
            self._add_addends(tensor.name, stored.addends)
            activation = self._activation(tensor.name)
            self.writer.add_matrix(tensor.name, stored.tensor, error, activation)

    def _add_kept(self, name: str, kept: QuantizedTensor) -> None:
        error, pair = self.weights.kept_error(name, kept), self.weights.beside(name).low_rank
        if pair is not None and kept.order is not None:
            pair = pair.in_order(kept.order)
        self._add_addends(name, Addends(low_rank=pair))
        self.writer.add_matrix(name, kept, error)

    @property
    def data(self) -> Statistics:
        assert self.statistics is not None  # the pipeline has checked what the recipe needs
        return self.statistics

    def _kept(self, tensor: Placement) -> QuantizedTensor | None:
        kept = self.recipe.kept(tensor, self.weights.source)
        if kept is None:
            return None
        for part in (kept.scales, kept.offsets):
            if part is not None and not np.isfinite(part).all():
                raise self.weights.not_finite(tensor)
        return kept

    def _quantized(self, tensor: Placement, matrix: np.ndarray) -> tuple[Augmented, float]:
        method = self.recipe.method(tensor.name)
        inputs = self._inputs(tensor.name) if method.addends else None
        if method.needs_data:
            return self._judged(tensor.name, matrix, method, inputs)
        stored, error = _measured(matrix, method, inputs)
        if error and method == self.recipe.body and self.recipe.inexact is not None:
            self._check_forced(tensor)
            return _measured(matrix, self.recipe.inexact, inputs)
        return stored, error

    def _inputs(self, name: str) -> np.ndarray | None:
        """float32 [columns]: how large they are, where somebody has looked."""
        if self.statistics is None or not is_of_layer(name):
            return None
        return self.weights.typical_inputs(name, self.statistics.fit(name))

    def _judged(
        self, name: str, matrix: np.ndarray, method: Method, inputs: np.ndarray | None
    ) -> tuple[Augmented, float]:
        """By data, unless on tokens that were held out the same without data does better."""
        h = self.weights.second_moments(name, self.data.fit(name).balanced)
        stored = augmented(matrix, method, h, inputs)
        blind = method.without_data()
        plain = augmented(matrix, blind, None, inputs)
        held_out = self.weights.second_moments(name, self.data.held_out(name).balanced)
        errors = [output_error(t.dequantize() - matrix, held_out) for t in (stored, plain)]
        if errors[1] < errors[0]:
            stored = plain
            self.writer.note(name, f"{blind.scales} and {blind.rounding}")
        return stored, stored.error(matrix)

    def _add_in_scale(self, name: str) -> None:
        factors, beside = self.weights.in_scale(name), _beside(name, "in_scale")
        if factors is not None and beside not in self.writer:
            self.writer.add_vector(beside, factors)

    def _activation(self, name: str) -> str | float | None:
        """What the header says of what the matrix reads; None: codes as its format has them."""
        method = self.recipe.method(name)
        if method.activation == "token":
            return "token" if method.format.group else None
        if method.activation == "float":
            return "float"
        if method.activation != "static":
            return None
        if not is_of_layer(name):
            raise RecipeError(
                f"recipe {str(self.recipe)!r}: {name.removesuffix('.weight')!r} has no input that "
                "calibration sees; leave the s of a8s away there"
            )
        largest = float(self.weights.inputs(name, self.data.fit(name).largest).max())
        return largest / 127 or None  # of nothing but zeros there is no scale

    def _add_addends(self, matrix: str, addends: Addends) -> None:
        """Before the matrix, too."""
        for part, values in addends.tensors().items():
            name = _beside(matrix, part)
            if name in self.writer:
                continue
            if values.ndim == 1:
                self.writer.add_indices(name, values)
            else:
                self.writer.add_float_matrix(name, values, "float16")

    def _correct(self, name: str, matrix: np.ndarray, stored: Augmented) -> None:
        """Add the matrix's bias, corrected, before the matrix: a kill between them loses neither."""
        bias = _beside(name, "bias")
        if not is_of_layer(name) or bias in self.writer:
            return
        found = [
            more
            for correction in corrections(self.recipe)
            if (more := correction(self.weights, name, stored.dequantize() - matrix, self.data))
            is not None
        ]
        if found:
            old = [self.weights.read(bias)] if bias in self.weights else []
            self.writer.add_vector(bias, np.sum([*old, *found], axis=0))

    def _add_floats(self, tensor: Placement) -> None:
        matrix, form = self.weights.read(tensor.name), self.recipe.method(tensor.name).format
        error = float_error(matrix, form)
        if not math.isfinite(error):
            raise RecipeError(f"tensor {tensor.source!r} has weights beyond {form}; use float32")
        self.writer.add_float_matrix(tensor.name, matrix, form.kind, error)

    def _check_forced(self, tensor: Placement) -> None:
        if not self.force:
            raise RecipeError(
                f"recipe {str(self.recipe)!r}: tensor {tensor.source!r} is not {self.recipe.base}, "
                "and rounding it would ruin the model; choose int8 or int4 (or --force it)"
            )


def _beside(name: str, part: str) -> str:
    return f"{name.removesuffix('.weight')}.{part}"


def _measured(
    matrix: np.ndarray, method: Method, inputs: np.ndarray | None
) -> tuple[Augmented, float]:
    stored = augmented(matrix, method, None, inputs)
    return stored, stored.error(matrix)


def least_bytes(tensor: Placement, recipe: Recipe) -> int:
    """Bytes of a tensor in the file; where it may keep a grid not yet known, of the smallest."""
    if len(tensor.shape) == 1:
        return spec.nbytes("vector", tensor.stored_shape)
    form = str(recipe.method(tensor.name).format)
    forms = (form, "ternary") if recipe.keeps else (form,)
    return min(spec.nbytes(f, tensor.stored_shape) for f in forms)
