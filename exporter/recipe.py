"""Recipes: what each matrix of a model is stored as."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

from edge.format.formats import CODES, QuantizedTensor, WeightFormat

from .architectures.placement import Placement
from .quantize import Method
from .registry import find
from .sources import Source

ENDS = ("embedding.weight", "output.weight")  # more sensitive than the layers between them


@dataclass(frozen=True)
class Budget:
    """So much for all matrices of the layers: "bits" a weight, or "ms" of a token's products."""

    amount: float
    unit: str

    def __str__(self) -> str:
        return f"{self.amount:g} bits a weight" if self.unit == "bits" else f"{self.amount:g} ms"


@dataclass(frozen=True)
class Recipe:
    """What a model's matrices are stored as; vectors are always float32.

    body     matrices of the layers
    ends     embedding and output matrix
    keeps    kinds of code: a matrix whose source has it on such a grid stays on that grid
    inexact  if given, `body` must hold every matrix exactly; what `force` uses where it does not
    transforms  what is done to the weights before, in order
    rules    (glob, method): the first whose glob is a matrix's name goes before `body` and `ends`
    kv       kind of KV cache that the file recommends, or None
    budget   of the layers, if formats are to be allocated by what they cost in quality
    """

    name: str
    body: Method
    ends: Method
    keeps: tuple[str, ...] = ()
    inexact: Method | None = None
    transforms: tuple[str, ...] = ()
    rules: tuple[tuple[str, Method], ...] = ()
    kv: str | None = None
    budget: Budget | None = None

    def __str__(self) -> str:
        return self.name

    def method(self, tensor: str) -> Method:
        method = self.rule(tensor) or (self.ends if tensor in ENDS else self.body)
        if tensor == "embedding.weight" and method.addends:  # looked up, not multiplied
            return replace(method, addends=())
        return method

    @property
    def base(self) -> str:
        """Its name without methods and rules."""
        return re.split("[:,]", self.name)[0]

    def rule(self, tensor: str) -> Method | None:
        name = tensor.removesuffix(".weight")
        return next((method for glob, method in self.rules if fnmatchcase(name, glob)), None)

    def kept(self, tensor: Placement, source: Source) -> QuantizedTensor | None:
        """The tensor on its source's grid, if the recipe keeps such grids."""
        if not self.keeps or self.rule(tensor.name) is not None:
            return None
        kept = tensor.kept(source)
        return kept if kept is not None and kept.format.kind in self.keeps else None

    @property
    def needs_data(self) -> bool:
        methods = [self.body, self.ends, *(method for _, method in self.rules)]
        transforms = (find(name) for name in self.transforms)
        return any(t.needs_data for t in transforms) or any(
            m.needs_data or m.activation == "static" for m in methods
        )

    @property
    def uses_data(self) -> bool:
        """Whether data changes anything: addends and budgets choose by it if it is there."""
        methods = [self.body, self.ends, *(method for _, method in self.rules)]
        helps = self.budget is not None or any(method.addends for method in methods)
        return self.needs_data or helps


@dataclass(frozen=True)
class Preset:
    """A recipe to choose by name; the first of its groups is the default.

    rows  builds it with a scale a row, as graphs have it by default, if that differs
    """

    description: str
    build: Callable[[str, int], Recipe]
    groups: tuple[int, ...] = ()
    rows: Callable[[str], Recipe] | None = None


def _int8(group: int) -> Method:
    return Method(WeightFormat("int8", group), "least_squares" if group else "absmax")


def _keep(name: str, group: int) -> Recipe:
    return Recipe(name, _int8(32), _int8(32), keeps=tuple(CODES))


def _keep_or_float(name: str) -> Recipe:
    floats = Method(WeightFormat("float32"))
    return Recipe(name, floats, floats, keeps=tuple(CODES))


def _int8_by_rows(name: str) -> Recipe:
    return _int8_everywhere(name, 0)


def _int8_everywhere(name: str, group: int) -> Recipe:
    return Recipe(name, _int8(group), _int8(group))


def _int4_body(name: str, group: int) -> Recipe:
    return Recipe(name, Method(WeightFormat("int4", group, offset=True), "minmax"), _int8(32))


def _searched_body(name: str, group: int, offset: bool = False) -> Recipe:
    kind = name.partition("-")[0]
    return Recipe(name, Method(WeightFormat(kind, group, offset), "mse"), _int8(32))


def _int2_body(name: str, group: int) -> Recipe:
    body = Method(WeightFormat("int2", group, offset=True), "mse")
    return Recipe(name, body, _int8(32), keeps=("int2",))


def _code4_body(name: str, group: int, codebook: str = "kmeans") -> Recipe:
    return Recipe(name, Method(WeightFormat("code4", group), codebook), _int8(32))


def _ternary_body(name: str, group: int) -> Recipe:
    form = WeightFormat(name)
    exact, rounded = Method(form, "absmax"), Method(form, "absmean")
    return Recipe(name, exact, _int8(32), keeps=(name,), inexact=rounded)


def _binary_body(name: str, group: int) -> Recipe:
    form = WeightFormat("ternary")
    exact = Method(form, "absmax", "sign")
    return Recipe(name, exact, _int8(32), inexact=Method(form, "absmean_all", "sign_centred"))


def _floats(name: str, group: int) -> Recipe:
    method = Method(WeightFormat(name))
    return Recipe(name, method, method)


PRESETS = {
    "keep": Preset(
        "Weights that are 2- to 8-bit or ternary in the source keep their codes; "
        "all others become int8 in groups of 32 (of a graph they stay floats).",
        _keep,
        rows=_keep_or_float,
    ),
    "int8": Preset(
        "8 bits, one scale for every 32 weights of a row (64, 128; 0: one a row, as in graphs if "
        "nothing is said): nearly lossless.",
        _int8_everywhere,
        (32, 64, 128, 0),
        _int8_by_rows,
    ),
    "int4": Preset(
        "4 bits, a scale and an offset for every 32 weights (64, 128; 256: of two levels, as good "
        "as 32 in fewer bytes), the embedding in int8.",
        _int4_body,
        (32, 64, 128, 256),
    ),
    "int3": Preset(
        "3 bits, scales of two levels for every 16 weights, the embedding in int8: for large models.",
        _searched_body,
        (256,),
    ),
    "int2": Preset(
        "2 bits, scales and offsets of two levels for every 16 weights, the embedding in int8: for "
        "models of billions of weights.",
        _int2_body,
        (256,),
    ),
    "int5": Preset(
        "5 bits, scales and offsets of two levels for every 32 weights (32: of one), the embedding "
        "in int8.",
        partial(_searched_body, offset=True),
        (256, 32),
    ),
    "int6": Preset(
        "6 bits, scales of two levels for every 16 weights, the embedding in int8.",
        _searched_body,
        (256,),
    ),
    "code4": Preset(
        "4 bits that look a level up, of 16 fitted to every four rows, with a scale for every 64 "
        "weights (32, 128).",
        _code4_body,
        (64, 32, 128),
    ),
    **{
        name: Preset(
            f"The same with the levels of {levels}.",
            partial(_code4_body, codebook=name),
            (64, 32, 128),
        )
        for name, levels in (
            ("nf4", "QLoRA's NormalFloat"),
            ("fp4", "4-bit floats"),
            ("pow2", "powers of two"),
        )
    },
    "ternary": Preset(
        "2 bits, weights -1, 0 and 1 times a scale a row, the embedding in int8: for models that "
        "were trained so (BitNet).",
        _ternary_body,
    ),
    "ternary-dense": Preset(
        "The same in 1.67 bits: for memory so slow that unpacking costs less than reading.",
        _ternary_body,
    ),
    "binary": Preset(
        "Weights -1 and 1 times a scale a row, stored as ternary (2 bits): for models that were "
        "trained so (BitNet b1).",
        _binary_body,
    ),
    "float16": Preset("16-bit floats: twice the size of int8.", _floats),
    "float32": Preset("32-bit floats: the reference, to compare with.", _floats),
}
ALIASES = {
    "int8-calibrated": (
        "int8:mse+gptq+bias_correct",
        "int8 by the data (--calib): for graphs of convolutions, whose errors add up.",
    ),
    "int4-search": (
        "int4:mse",
        "int4 with the scale and offset of least squared error: the best without a text.",
    ),
    "int4-attention8": (
        "int4:mse,*.attention.*=int8",
        "int8 attention and int4 feed-forward, without a text.",
    ),
    "int4-calibrated": (
        "int4:awq+mse+gptq+quantease,*.value=int8",
        "AWQ, GPTQ and QuantEase on a text (--calib), the value projection in int8: the best int4.",
    ),
    "mixed-calibrated": (
        "mixed:5.5:awq+mse+gptq+quantease",
        "the same with 3 to 8 bits for each matrix by what it is worth on the text, 5.5 in the mean.",
    ),
    "squeezellm": (
        "code4:squeezellm+sparse",
        "Dense and sparse: weighted k-means, the largest weights apart; needs --calib.",
    ),
    "gobo": ("code4-g128:gobo+gaussian", "Eight centroids a matrix, outliers apart."),
}
RECIPES = {name: preset.description for name, preset in PRESETS.items()} | {
    name: f"{description} Short for {text}." for name, (text, description) in ALIASES.items()
}
