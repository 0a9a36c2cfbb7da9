"""What a recipe may do to a model, said in words: before an export, and after it."""

from collections.abc import Iterable, Sequence

from edge.format import spec
from edge.format.formats import CODES

from .recipe import Recipe

SMALL = 500_000_000  # weights: below, 4 bits cost much (benchmarks/QUALITY.md)
SHORT = 16  # windows of calibration that are few
FAR = 3.0  # times the median error of its kind


def before(
    recipe: Recipe, parameters: int, formats: Sequence[tuple[str, float | None]]
) -> tuple[str, ...]:
    """`formats` of tensors or classes of them, with their relative errors."""
    found = list(_of_forced(recipe, formats))
    bits = _fewest_bits(formats)
    if bits is None or bits > 4.0:
        return tuple(found)
    if parameters < SMALL and not recipe.needs_data:
        found.append(
            f"4 bits without calibration on a model of {parameters / 1e6:,.0f} million weights: "
            "expect a loss that one notices; int8, or int4-calibrated --calib TEXT, lose less"
        )
    elif parameters < SMALL:
        found.append(
            f"4 bits on a model of {parameters / 1e6:,.0f} million weights cost more than on a "
            "large one; compare it with int8 (edge eval --against)"
        )
    elif not recipe.needs_data:
        found.append("4 bits without calibration: int4-calibrated --calib TEXT loses less")
    return tuple(found)


def _fewest_bits(formats: Iterable[tuple[str, float | None]]) -> float | None:
    """Of matrices that were rounded, ternary ones left out; None if there is none."""
    kinds = {spec.weight_format(form).kind for form, error in formats if error}
    levels = [CODES[kind].levels for kind in kinds if kind in CODES and CODES[kind].levels > 3]
    return (min(levels) - 1).bit_length() if levels else None


def _of_forced(recipe: Recipe, formats: Iterable[tuple[str, float | None]]) -> Iterable[str]:
    if recipe.inexact is None:
        return
    body = str(recipe.body.format)
    if any(error and form == body for form, error in formats):
        yield (
            "the model was not trained with ternary weights: rounding it to them ruins it "
            "(perplexity times thousands); an export needs --force"
        )
