"""Rotations that fold offline: outliers of the residual stream and of values spread evenly."""

from dataclasses import replace

from edge.errors import RecipeError
from edge.format.config import DecoderConfig

from ..recipe import Recipe
from ..rotation import Rotation, randomized_hadamard
from ..weights import Turn, Weights

READERS = {"attention_norm": ("query", "key", "value"), "feed_forward_norm": ("gate", "up")}
UNTIED = (
    "hadamard: the last norm's gain goes into the output matrix, which therefore is stored beside "
    "the embedding that it was"
)


def hadamard(weights: Weights, recipe: Recipe) -> None:
    """R1 and R2 of SpinQuant (arXiv:2405.16406) by random Hadamard matrices, as QuaRot's.

    The residual stream x becomes x Q: what writes it is multiplied by Q behind, what reads it by
    Q^T before.  The root mean square of x Q is that of x, so a norm without gain commutes with Q;
    its gain goes into the matrices behind it.  Values are rotated head by head, and back in the
    output projection.

    Raises RecipeError where a norm lies between a branch and the residual stream (its gain would
    have to come after the rotation), and for layer norms, whose mean no rotation keeps.
    """
    if weights.model.kind != "decoder":
        raise RecipeError(
            f"recipe {str(recipe)!r}: an encoder's layer norms do not commute with hadamard's "
            "rotation; leave it out"
        )
    config = weights.model.config
    _check(recipe, config)
    residual = randomized_hadamard(config.hidden, 0)
    _turn_ends(weights, residual)
    for layer in range(config.layers):
        _turn_residual(weights, f"layers.{layer}.", residual)
        _turn_values(weights, f"layers.{layer}.", randomized_hadamard(config.head_dim, layer))


def _check(recipe: Recipe, config: DecoderConfig) -> None:
    if config.post_norms:
        raise RecipeError(
            f"recipe {str(recipe)!r}: {config.architecture} has norms behind its branches, and "
            "hadamard cannot pass them; leave it out"
        )
    methods = [recipe.body, *(method for _, method in recipe.rules)]
    if "smooth" in recipe.transforms or any(m.activation == "static" for m in methods):
        raise RecipeError(
            f"recipe {str(recipe)!r}: smooth and a8s go by the largest inputs, which are not known "
            "of rotated ones; leave these or hadamard out"
        )


def _turn_ends(weights: Weights, residual: Rotation) -> None:
    gain = weights.read("output_norm.weight")
    alike = bool((gain == gain[0]).all())  # then it commutes with the rotation
    if weights.model.config.tied_embedding and not alike:
        weights.untie(UNTIED)
    weights.turns["embedding.weight"] = Turn(columns=residual)
    if weights.model.config.tied_embedding:
        return
    weights.turns["output.weight"] = Turn(gain, columns=residual)
    weights.turns["output_norm.weight"] = Turn(flat=True)


def _turn_residual(weights: Weights, layer: str, residual: Rotation) -> None:
    for norm, names in READERS.items():
        gain = weights.read(f"{layer}{norm}.weight")
        for name in names:
            reader = f"{layer}{norm.removesuffix('_norm')}.{name}.weight"
            weights.turns[reader] = Turn(gain, columns=residual)
        weights.turns[f"{layer}{norm}.weight"] = Turn(flat=True)
    for writer in ("attention.output", "feed_forward.down"):
        _turn_rows(weights, layer + writer, residual)


def _turn_rows(weights: Weights, name: str, rotation: Rotation) -> None:
    old = weights.turns.get(f"{name}.weight", Turn())
    weights.turns[f"{name}.weight"] = replace(old, rows=rotation)
    if f"{name}.bias" in weights:
        weights.turns[f"{name}.bias"] = Turn(rows=rotation)


def _turn_values(weights: Weights, layer: str, heads: Rotation) -> None:
    """Of BitNet's norm between, the gain goes into the output projection too."""
    _turn_rows(weights, f"{layer}attention.value", heads)
    gain = None
    if weights.model.config.sub_norms:
        gain = weights.read(norm := f"{layer}attention.sub_norm.weight")
        weights.turns[norm] = Turn(flat=True)
    output = f"{layer}attention.output.weight"
    weights.turns[output] = replace(weights.turns[output], gain=gain, columns=heads)
