"""Recipes: what each matrix of a model is stored as."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import RecipeError
from edge.format.formats import CODES, WeightFormat

from .quantize import Method

ENDS = ("embedding.weight", "output.weight")  # more sensitive than the layers between them


@dataclass(frozen=True)
class Recipe:
    """What a model's matrices are stored as; vectors are always float32.

    body     matrices of the layers
    ends     embedding and output matrix
    keeps    kinds of code: a matrix whose source has it on such a grid stays on that grid
    inexact  if given, `body` must hold every matrix exactly; what `force` uses where it does not
    """

    name: str
    body: Method
    ends: Method
    keeps: tuple[str, ...] = ()
    inexact: Method | None = None

    def __str__(self) -> str:
        return self.name

    def method(self, tensor: str) -> Method:
        return self.ends if tensor in ENDS else self.body


@dataclass(frozen=True)
class Preset:
    """A recipe to choose by name; the first of its groups is the default."""

    description: str
    build: Callable[[str, int], Recipe]
    groups: tuple[int, ...] = ()


def _int8(group: int) -> Method:
    return Method(WeightFormat("int8", group), "least_squares" if group else "absmax")


def _keep(name: str, group: int) -> Recipe:
    return Recipe(name, _int8(32), _int8(32), keeps=tuple(CODES))


def _int8_everywhere(name: str, group: int) -> Recipe:
    return Recipe(name, _int8(group), _int8(group))


def _int4_body(name: str, group: int) -> Recipe:
    return Recipe(name, Method(WeightFormat("int4", group, offset=True), "minmax"), _int8(32))


def _ternary_body(name: str, group: int) -> Recipe:
    form = WeightFormat(name)
    exact, rounded = Method(form, "absmax"), Method(form, "absmean")
    return Recipe(name, exact, _int8(32), keeps=(name,), inexact=rounded)


def _floats(name: str, group: int) -> Recipe:
    method = Method(WeightFormat(name))
    return Recipe(name, method, method)


PRESETS = {
    "keep": Preset(
        "Weights that are 4-, 6- or 8-bit or ternary in the source stay as they are, bit for bit; "
        "all others become int8 in groups of 32.",
        _keep,
    ),
    "int8": Preset(
        "8 bits, one scale for every 32 weights of a row (64, 128; 0: one a row): nearly lossless.",
        _int8_everywhere,
        (32, 64, 128, 0),
    ),
    "int4": Preset(
        "4 bits, a scale and an offset for every 32 weights (64, 128), the embedding in int8.",
        _int4_body,
        (32, 64, 128),
    ),
    "ternary": Preset(
        "2 bits, weights -1, 0 and 1 times a scale a row, the embedding in int8: for models that "
        "were trained so (BitNet).",
        _ternary_body,
    ),
    "ternary-dense": Preset(
        "The same in 1.67 bits: for memory so slow that unpacking costs less than reading.",
        _ternary_body,
    ),
    "float16": Preset("16-bit floats: twice the size of int8.", _floats),
    "float32": Preset("32-bit floats: the reference, to compare with.", _floats),
}
RECIPES = {name: preset.description for name, preset in PRESETS.items()}


def parse(text: str, group: int | None = None) -> Recipe:
    """The recipe `text` names, "int4" or "int4-g64"; `group` says the same as the suffix.

    Raises RecipeError if there is none, or none with such groups.
    """
    match = re.fullmatch(r"([a-z0-9]+(?:-dense)?)(?:-g([0-9]{1,4}))?", text, re.ASCII)
    if match is None or match[1] not in PRESETS:
        raise RecipeError(f"no recipe {text!r:.60}; choose from {', '.join(PRESETS)}")
    suffix = None if match[2] is None else int(match[2])
    if None not in (suffix, group) and suffix != group:
        raise RecipeError(f"recipe {text!r} and a group of {group}: say one of them")
    return _with_group(match[1], PRESETS[match[1]], suffix if group is None else group)


def _with_group(name: str, preset: Preset, group: int | None) -> Recipe:
    if group is None or (preset.groups and group == preset.groups[0]):
        return preset.build(name, preset.groups[0] if preset.groups else 0)
    if group not in preset.groups:
        sizes = ", ".join(map(str, preset.groups))
        choice = f"choose a group of {sizes}" if sizes else "it has no groups to choose"
        raise RecipeError(f"recipe {name!r} with a group of {group}: {choice}")
    return preset.build(f"{name}-g{group}", group)
