"""A recipe against the model that it is for: its rules, and what would ruin a model of that size."""

import fnmatch

from edge.errors import RecipeError

from .architectures import Lowered
from .quantize import Method
from .recipe import Recipe
from .sources import Source

FEW = 1_000_000_000  # weights: what 2 bits leave of fewer is of no use (docs/quantization.md)


def check_rules(recipe: Recipe, model: Lowered) -> None:
    """Raises RecipeError for a rule that no matrix fits."""
    names = [t.name.removesuffix(".weight") for t in model.tensors if len(t.shape) == 2]
    for glob, _ in recipe.rules:
        if not fnmatch.filter(names, glob):
            raise RecipeError(f"rule for {glob!r:.80} fits no matrix; one is called {names[0]!r}")


def check_bits(recipe: Recipe, model: Lowered, source: Source) -> None:
    """Raises RecipeError if a matrix is to be rounded to 2 bits and the model has too few weights.

    What its source has in 2 bits stays as it is.
    """
    if model.parameters >= FEW:
        return
    for tensor in model.tensors:
        method = recipe.method(tensor.name)
        is_rounded = len(tensor.shape) == 2 and has_two_bits(method)
        if is_rounded and recipe.kept(tensor, source) is None:
            raise too_few(recipe, model.parameters, method)


def has_two_bits(method: Method) -> bool:
    return method.format.kind == "int2"


def too_few(recipe: Recipe, parameters: int, method: Method) -> RecipeError:
    return RecipeError(
        f"recipe {str(recipe)!r}: rounding a model of {parameters / 1e6:,.1f} million weights to "
        f"{method.format} would ruin it; choose int8 or int4 (or --force it)"
    )
