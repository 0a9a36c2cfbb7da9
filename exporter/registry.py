"""The registry of methods: one entry each, in the folder of its kind or in another package.

A recipe names methods ("int4:awq+gptq"); the entry is all that the exporter knows of one.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge.errors import RecipeError
from edge.format.formats import CODES, WeightFormat

STAGES = ("model", "layer", "matrix")  # of transforms
KINDS = {  # their folders
    "transform": "transforms",
    "scales": "scales",
    "codebook": "codebooks",
    "rounding": "rounding",
    "refinement": "refinements",
    "addend": "addends",
    "range": "ranges",
    "shift": "shifts",
}
NAME = re.compile(r"(?!g[0-9]+$)[a-z][a-z0-9_]{0,39}")  # g64 is a group size
OFFSET, SYMMETRIC, TERNARY, CODEBOOK = "offset", "symmetric", "ternary", "codebook"


@dataclass(frozen=True)
class Entry:
    """One method.

    kind        "transform", "scales", "codebook", "rounding", "refinement", "addend", "range" or
                "shift"; its folder's __init__ has the protocol of
    call        the method itself
    sentence    what it does, for `--quant list`; ends with "needs --calib." if it
    needs_data  second moments of what matrices read
    suits       grids it is for: "offset" (int4), "symmetric" (int8), "ternary", "codebook"
    symmetric   scales without offsets, even where the format can have them
    seeded      takes a `seed`: it throws dice
    whole       of scales and rounding: sees all rows of a matrix at once, not some after others
    stage       of a transform: "model" (all of it, first), "layer" (one after the other), "matrix"
                (when it is quantized)
    """

    kind: str
    call: Callable[..., Any]
    sentence: str
    suits: tuple[str, ...] = (OFFSET, SYMMETRIC)
    needs_data: bool = False
    symmetric: bool = False
    seeded: bool = False
    whole: bool = False
    stage: str = "layer"


def grid(form: WeightFormat) -> str:
    """What `suits` calls the format's grid."""
    codes = CODES[form.kind]
    if codes.levels == 3:
        return TERNARY
    if codes.has_codebook:
        return CODEBOOK
    return OFFSET if codes.shifted else SYMMETRIC


def own() -> dict[str, Entry]:
    """The entries of this package, in the order they are listed in."""
    found: dict[str, Entry] = {}
    for folder in KINDS.values():
        found |= getattr(import_module(f".{folder}", __package__), folder.upper())
    return found


def find(name: str) -> Entry:
    """The method's entry, of ours or of an installed package.

    Raises RecipeError: there is none, with the choices; or its package is broken.
    """
    from . import plugins

    entry = own().get(name) or plugins.load(name)
    if entry is None:
        choices = ", ".join([*own(), *plugins.names()])
        raise RecipeError(f"no method {name!r:.60}; choose from {choices}, or gN")
    return entry


def find_for(name: str, form: WeightFormat) -> Entry:
    """The same, if it suits the format."""
    entry = find(name)
    if grid(form) not in entry.suits:
        choices = ", ".join(_suiting(entry.kind, form))
        advice = f"choose from {choices}" if choices else "leave it out"
        raise RecipeError(f"no {entry.kind} {name!r} for {form.kind}; {advice}")
    return entry


def _suiting(kind: str, form: WeightFormat) -> Iterable[str]:
    return (n for n, e in own().items() if e.kind == kind and grid(form) in e.suits)
