"""What a recipe may do to a model, said in words: before an export, and after it."""

import re
from collections.abc import Iterable, Sequence
from statistics import median

from edge.format import spec
from edge.format.formats import CODES
from edge.format.spec import TensorInfo

from .calibration.statistics import Statistics
from .recipe import Recipe
from .rules import FEW

SMALL = 500_000_000  # weights: below, 4 bits cost much (benchmarks/QUALITY.md)
SHORT = 16  # windows of calibration that are few
FAR = 3.0  # times the median error of its kind


def before(
    recipe: Recipe, parameters: int, formats: Sequence[tuple[str, float | None]]
) -> tuple[str, ...]:
    """`formats` of tensors or classes of them, with their relative errors."""
    found = list(_of_forced(recipe, formats))
    bits = _fewest_bits(formats)
    if bits is None or bits > 4:
        return tuple(found)
    if bits == 2 and parameters < FEW:
        found.append(
            f"2 bits on a model of {parameters / 1e6:,.0f} million weights ruin it (SmolLM2's perplexity: "
            "times 7 with a text, times 800 without); an export needs --force"
        )
    elif parameters < SMALL and not recipe.needs_data:
        found.append(
            f"{bits} bits without calibration on a model of {parameters / 1e6:,.0f} million weights: "
            "expect a loss that one notices; int8, or int4-calibrated --calib TEXT, lose less"
        )
    elif parameters < SMALL:
        found.append(
            f"{bits} bits on a model of {parameters / 1e6:,.0f} million weights cost more than on a "
            "large one; compare it with int8 (edge eval --against)"
        )
    elif not recipe.needs_data:
        found.append(f"{bits} bits without calibration: int4-calibrated --calib TEXT loses less")
    return tuple(found)


def of(
    recipe: Recipe,
    parameters: int,
    tensors: Iterable[TensorInfo],
    fallen: Iterable[tuple[str, str]],
    statistics: Statistics | None,
) -> tuple[str, ...]:
    """All of an export that is done; `fallen` as Store notes them."""
    tensors = tuple(tensors)
    windows = None if statistics is None else len(statistics.tokens())
    expected = before(recipe, parameters, [(t.format, t.error) for t in tensors])
    return expected + after(tensors, tuple(fallen), windows)


def after(
    tensors: Sequence[TensorInfo], fallen: Sequence[tuple[str, str]], windows: int | None
) -> tuple[str, ...]:
    """What an export found; `windows` of calibration, None without any."""
    found = list(_of_outliers(tensors))
    if windows is not None and windows < SHORT:
        found.append(
            f"calibrated on {windows} windows of text only: give some 60 pages, of the kind the "
            "model will meet"
        )
    if fallen:
        matrices = sum(len(t.shape) == 2 for t in tensors)
        found.append(
            f"in {len(fallen)} of {matrices} matrices the data-aware method did worse on "
            "held-out tokens than the plain one, which was taken"
        )
    return tuple(found)


def _of_outliers(tensors: Sequence[TensorInfo]) -> Iterable[str]:
    """Matrices whose error is far above that of their kind in other layers."""
    kinds: dict[tuple[str, str], list[TensorInfo]] = {}
    for tensor in tensors:
        if tensor.error:
            kinds.setdefault((kind_of(tensor.name), tensor.format), []).append(tensor)
    for (kind, _), some in kinds.items():
        middle = median(t.error or 0.0 for t in some)
        for tensor in some:
            if (tensor.error or 0.0) > FAR * middle:
                yield (
                    f"{tensor.name}: its error of {tensor.error:.2%} is far above the {middle:.2%} "
                    f"that is usual for {kind} here; try a rule like {tensor.name.removesuffix('.weight')}=int8"
                )


def kind_of(tensor: str) -> str:
    """layers.3.attention.value.weight -> attention.value"""
    return re.sub(r"^layers\.\d+\.", "", tensor).removesuffix(".weight")


def _fewest_bits(formats: Iterable[tuple[str, float | None]]) -> int | None:
    """Of matrices that were rounded, ternary ones left out; None if there is none."""
    matrices = {form for form, error in formats if error and form not in spec.PAYLOADS}
    kinds = {spec.weight_format(form).kind for form in matrices}
    levels = [CODES[kind].levels for kind in kinds if kind in CODES and CODES[kind].levels > 3]
    return (min(levels) - 1).bit_length() if levels else None


def _of_forced(recipe: Recipe, formats: Iterable[tuple[str, float | None]]) -> Iterable[str]:
    if recipe.inexact is None:
        return
    body = str(recipe.body.format)
    if any(error and form == body for form, error in formats):
        yield (
            f"the model was not trained with {recipe.base} weights: rounding it to them ruins it "
            "(perplexity times thousands); an export needs --force"
        )
