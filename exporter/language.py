"""The language of recipes.

    recipe = base {":" part} {"," rule}
    base   = a preset with or without "-g64"; wNaNkvN: bits of weights, activations, KV cache; or
             mixed:N, N bits a weight of the layers, allocated matrix by matrix; mixed:Nms, by the
             milliseconds that a token's products take on a device
             a8t: a scale a token for activations; a8s: one that is fixed by calibration; a16: they
             stay floats
    part   = method {"+" method}, or gN: the group size
    rule   = glob "=" base {":" part}      for matrices with that name, "layers.*.attention.value"

int4-g64:hqq    w4a8kv8:awq+gptq:g32    int4:awq+gptq,*.value=int8,layers.0.*=int8
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from edge.errors import RecipeError
from edge.format.formats import WeightFormat

from . import plugins, registry
from .quantize import Method
from .recipe import ALIASES, PRESETS, Budget, Preset, Recipe

ACTIVATIONS = {None: "", "8": "", "8t": "token", "8s": "static", "16": "float"}
LONGEST = 1000  # characters that a file keeps of it
WEIGHT_BITS = {
    "2": "int2", "3": "int3", "4": "int4", "5": "int5", "6": "int6", "8": "int8",
    "16": "float16", "32": "float32",
}  # fmt: skip
KV_BITS = {"4": "int4", "8": "int8", "16": "float16", "32": "float32"}


def describe() -> list[str]:
    """The language and its methods, a line each, for `--quant list`."""
    head = (
        "A recipe may name methods, a group and rules: int4:awq+gptq:g64,*.value=int8; w4a8kv8 is "
        "int4 that recommends an int8 KV cache, w4a16 int4 whose activations stay floats. The methods:"
    )
    methods = [(name, entry.sentence) for name, entry in registry.own().items()]
    methods += plugins.listed({*registry.own()})
    return [head] + [f"{name:17}{text}" for name, text in methods]


def parse(text: str, group: int | None = None, graph: bool = False) -> Recipe:
    """The recipe `text` says, "int4" or "int4-g64:hqq"; `group` says the same as -gN.

    Of a graph int8 has a scale a row where no group is named, and there are ranges to choose.

    Raises RecipeError naming the part that cannot be read, and the choices.
    """
    if len(text) > LONGEST or not text.isprintable():
        raise RecipeError(
            f"a recipe is a line of at most {LONGEST} characters, not {text!r:.40}..."
        )
    head, *rules = ALIASES[text][0].split(",") if text in ALIASES else text.split(",")
    recipe = _recipe(head, group, graph)
    parsed = tuple(_rule(rule, graph) for rule in rules)
    name = text if text in ALIASES and group is None else ",".join([recipe.name, *rules])
    return replace(recipe, rules=parsed, name=name)


def _recipe(text: str, group: int | None, graph: bool) -> Recipe:
    base, *parts = text.split(":")
    if base == "mixed":
        return _mixed(text, parts)
    methods, sizes = _split(parts)
    for size in sizes:
        group = _same(text, group, size)
    name, activation, kv = _bits(base)
    recipe = replace(_preset(base if name is None else name, group, graph), kv=kv)
    recipe = _activated(recipe, activation)
    shown = recipe.name if name is None else base + ("" if group is None else f":g{group}")
    tail = f":{'+'.join(methods)}" if methods else ""
    if activation != "static" or not graph:
        _refuse_ranges(base, methods)
    if activation == "float" and "outliers" in methods:
        raise RecipeError(
            f"{base!r}: 'outliers' are kept from being rounded, and a16 rounds nothing"
        )
    return replace(_with(recipe, methods), name=shown + tail)


def _activated(recipe: Recipe, activation: str) -> Recipe:
    """Schemes of codes are of the layers, floats of the output matrix, too."""
    ends = recipe.ends
    if activation == "float":
        ends = replace(ends, activation=activation)
    return replace(recipe, body=replace(recipe.body, activation=activation), ends=ends)


def _refuse_ranges(base: str, methods: Sequence[str]) -> None:
    for name in methods:
        if registry.find(name).kind in ("range", "shift"):
            raise RecipeError(f"{base!r}: {name!r} is for a graph's fixed activations, like w8a8s")


def _mixed(text: str, parts: list[str]) -> Recipe:
    budget = re.fullmatch(
        r"([0-9]{1,4}(?:\.[0-9]{1,3})?)(ms)?", parts[0] if parts else "", re.ASCII
    )
    if not budget:
        raise RecipeError(
            f"recipe {text!r:.80}, expected the bits a weight or the time of a token, like mixed:5.5 "
            "or mixed:40ms"
        )
    methods, sizes = _split(parts[1:])
    if sizes:
        raise RecipeError(
            f"recipe {text!r:.80}: mixed chooses groups itself; leave g{sizes[0]} out"
        )
    recipe = _with(_preset("int4", None), methods)
    if recipe.body.addends:
        raise RecipeError(
            f"recipe {text!r:.80}: mixed does not count what {recipe.body.addends[0]!r} takes; "
            "leave it out"
        )
    if not recipe.body.format.offset:
        raise RecipeError(
            f"recipe {text!r:.80}: mixed has offsets; leave out {recipe.body.scales!r}"
        )
    allowed = Budget(float(budget[1]), budget[2] or "bits")
    return replace(recipe, name=text, budget=allowed)


def _split(parts: list[str]) -> tuple[list[str], list[int]]:
    methods: list[str] = []
    sizes = []
    for part in parts:
        if match := re.fullmatch(r"g([0-9]{1,4})", part, re.ASCII):
            sizes.append(int(match[1]))
        else:
            methods += part.split("+")
    twice = next((method for method in methods if methods.count(method) > 1), None)
    if twice is not None:
        raise RecipeError(f"method {twice!r:.60} is named twice; name it once")
    for kind in ("scales", "codebook", "rounding", "refinement", "range", "shift"):
        same = [method for method in methods if registry.find(method).kind == kind]
        if len(same) > 1:
            raise RecipeError(f"{same[0]!r} and {same[1]!r} both choose the {kind}; name one")
    return methods, sizes


def _same(text: str, group: int | None, size: int) -> int:
    if group not in (None, size):
        raise RecipeError(f"recipe {text!r} and a group of {group}: say one of them")
    return size


def _bits(base: str) -> tuple[str | None, str, str | None]:
    """The preset, the activation and the kind of KV cache of wNaNkvN; None of another base."""
    match = re.fullmatch(r"w([0-9]+)(?:a([0-9]+[ts]?))?(?:kv([0-9]+))?", base, re.ASCII)
    if match is None:
        return None, "", None
    weights, activations, kv = match.groups()
    if weights not in WEIGHT_BITS:
        choices = ", ".join(f"w{bits}" for bits in WEIGHT_BITS)
        raise RecipeError(f"{base!r}: weights of {weights} bits; choose from {choices}")
    floats = int(weights) > 8
    if activations not in ACTIVATIONS or (floats and activations is not None):
        computes = (
            "32-bit floats: leave it out" if floats else "a8, a8t, a8s or a16, floats: say one"
        )
        raise RecipeError(f"{base!r}: a{activations}, but w{weights} computes with {computes}")
    if kv is not None and kv not in KV_BITS:
        raise RecipeError(f"{base!r}: a KV cache of {kv} bits; choose kv4, kv8, kv16 or kv32")
    return WEIGHT_BITS[weights], ACTIVATIONS[activations], KV_BITS[kv] if kv else None


def _preset(base: str, group: int | None, graph: bool = False) -> Recipe:
    match = re.fullmatch(r"([a-z0-9]+(?:-dense)?)(?:-g([0-9]{1,4}))?", base, re.ASCII)
    if match is None or match[1] not in PRESETS:
        choices = ", ".join([*PRESETS, *ALIASES])
        raise RecipeError(f"no recipe {base!r:.60}; choose from {choices}, mixed:5.5 or w4a8kv8")
    if match[2] is not None:
        group = _same(base, group, int(match[2]))
    preset = PRESETS[match[1]]
    if graph and group is None and preset.rows is not None:
        return preset.rows(match[1])
    return _with_group(match[1], preset, group)


def _with_group(name: str, preset: Preset, group: int | None) -> Recipe:
    if group is None or (preset.groups and group == preset.groups[0]):
        return preset.build(name, preset.groups[0] if preset.groups else 0)
    if group not in preset.groups:
        sizes = ", ".join(map(str, preset.groups))
        choice = f"choose a group of {sizes}" if sizes else "it has no groups to choose"
        raise RecipeError(f"recipe {name!r} with a group of {group}: {choice}")
    return preset.build(f"{name}-g{group}", group)


def _with(recipe: Recipe, methods: list[str]) -> Recipe:
    if not methods:
        return recipe
    entries = {name: registry.find(name) for name in methods}
    transforms = tuple(name for name, entry in entries.items() if entry.kind == "transform")
    if recipe.inexact is not None:  # the body is exact or nothing: methods are for the forced
        _refuse(recipe, [*transforms, *(name for name in methods if entries[name].needs_data)])
        return replace(recipe, inexact=_with_all(recipe.inexact, methods))
    if recipe.name == "keep" or recipe.body.format.is_float:
        _refuse(recipe, methods)
    keeps = () if transforms else recipe.keeps  # they change every matrix
    body = _with_all(recipe.body, methods)
    return replace(recipe, body=body, transforms=transforms, keeps=keeps)


def _refuse(recipe: Recipe, methods: Sequence[str]) -> None:
    if methods:
        raise RecipeError(
            f"recipe {recipe.name!r} leaves weights as they are; {methods[0]!r} cannot help"
        )


def _with_all(method: Method, names: list[str]) -> Method:
    for name in names:
        entry = registry.find_for(name, method.format)
        if entry.kind in ("scales", "codebook"):
            form = _symmetric(method.format, name) if entry.symmetric else method.format
            method = replace(method, format=form, scales=name)
        elif entry.kind == "rounding":
            method = replace(method, rounding=name)
        elif entry.kind == "range":
            method = replace(method, range=name)
        elif entry.kind == "shift":
            method = replace(method, shift=name)
        elif entry.kind == "addend" and name not in method.addends:
            method = replace(method, addends=(*method.addends, name))
        elif entry.kind == "refinement":
            method = replace(method, refinement=name)
    return method


def _symmetric(form: WeightFormat, scales: str) -> WeightFormat:
    """The same kind of code without an offset."""
    try:
        return WeightFormat(form.kind, form.group)
    except ValueError:
        raise RecipeError(f"scales {scales!r} have no offset, but {form} has one") from None


def _rule(text: str, graph: bool) -> tuple[str, Method]:
    glob, equals, base = text.partition("=")
    if not equals or not glob or not base:
        raise RecipeError(f"rule {text!r:.80}, expected NAME=RECIPE like *.value=int8")
    recipe = _recipe(base, None, graph)
    if recipe.transforms:
        raise RecipeError(
            f"rule {text!r:.80}: {recipe.transforms[0]!r} changes the whole model; name it before "
            "the rules"
        )
    if recipe.name == "keep" or recipe.inexact or recipe.kv or recipe.budget:
        raise RecipeError(
            f"rule {text!r:.80}: a matrix is stored as int8, int4, ..., float16 or float32"
        )
    return glob, recipe.body
