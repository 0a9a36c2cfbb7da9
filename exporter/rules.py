"""Rules of a recipe, against the matrices a model has."""

import fnmatch

from edge.errors import RecipeError

from .architectures import Lowered
from .recipe import Recipe


def check_rules(recipe: Recipe, model: Lowered) -> None:
    """Raises RecipeError for a rule that no matrix fits."""
    names = [t.name.removesuffix(".weight") for t in model.tensors if len(t.shape) == 2]
    for glob, _ in recipe.rules:
        if not fnmatch.filter(names, glob):
            raise RecipeError(f"rule for {glob!r:.80} fits no matrix; one is called {names[0]!r}")
