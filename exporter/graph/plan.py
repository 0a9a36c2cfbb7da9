"""Which method stores each matrix of a graph: a recipe, and what kernels and sizes make of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import filter as matching

from edge.errors import RecipeError
from edge.format.formats import QuantizedTensor, WeightFormat

from ..quantize import Method, float_error
from ..recipe import Recipe
from ..registry import find
from ..rules import FEW, has_two_bits, too_few
from .layers import EMBEDDING, LINEAR, RECURRENT, Layer, layers
from .model import GraphModel, Matrix

FEW_CHANNELS = 4  # of an image: its first convolution is cheap and sensitive
SMALL = 512  # weights of a matrix that is not worth rounding
TRANSFORMS = ("equalize", "bias_correct")  # that graphs have
FLOAT, HALF = Method(WeightFormat("float32")), Method(WeightFormat("float16"))
ROWS = WeightFormat("int8")  # a scale a row: what convolutions and recurrent layers run as


@dataclass(frozen=True)
class Plan:
    """methods  by matrix;  by_rows  matrices that run as ROWS or in floats
    notes    where the recipe is not followed to the letter
    """

    recipe: Recipe
    methods: Mapping[str, Method]
    by_rows: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def keeps(self, name: str, matrix: Matrix) -> QuantizedTensor | None:
        """The matrix on its source's grid, if it is to be stored so."""
        kept, method = matrix.kept, self.methods[name]
        if kept is None or self.recipe.rule(name) is not None:
            return None
        if name in self.by_rows and kept.format != ROWS:
            return None
        same = kept.format.kind == method.format.kind
        return kept if same or kept.format.kind in self.recipe.keeps else None


def plan(model: GraphModel, recipe: Recipe, force: bool = False) -> Plan:
    """Raises RecipeError for what a graph cannot have."""
    _check(recipe, force)
    for glob, _ in recipe.rules:
        if not matching(model.matrices, glob):
            known = (
                f"one is called {next(iter(model.matrices))!r}"
                if model.matrices
                else "none is there"
            )
            raise RecipeError(f"rule for {glob!r:.80} fits no matrix; {known}")
    readers: dict[str, list[Layer]] = {}
    for layer in layers(model.graph):
        readers.setdefault(layer.name, []).append(layer)
    by_rows = frozenset(n for n, found in readers.items() if any(map(_runs_by_rows, found)))
    methods, windows = {}, []
    for name, matrix in model.matrices.items():
        wanted = _wanted(recipe, name, matrix, readers.get(name, []))
        if wanted.activation == "float":
            _check_linear(recipe, name, readers.get(name, []))
        methods[name] = _by_rows(wanted) if name in by_rows else wanted
        if methods[name] != wanted:
            windows.append(name)
    if not force:
        _check_bits(model, recipe, methods)
    return Plan(recipe, methods, by_rows, _notes(recipe, windows))


def _check(recipe: Recipe, force: bool) -> None:
    name = str(recipe)
    if recipe.budget is not None:
        raise RecipeError(
            f"recipe {name!r}: mixed is for language models; a graph takes rules "
            "(int4,*.dense=int8) or int8 --max-drop 0.02"
        )
    if recipe.kv is not None:
        raise RecipeError(f"recipe {name!r}: a graph has no KV cache; leave kv out")
    for transform in recipe.transforms:
        if transform not in TRANSFORMS:
            raise RecipeError(
                f"recipe {name!r}: {transform!r} is for language models; graphs have "
                f"{' and '.join(TRANSFORMS)}"
            )
    for method in (recipe.body, *(m for _, m in recipe.rules)):
        if method.addends:
            raise RecipeError(
                f"recipe {name!r}: {method.addends[0]!r} is for language models; a graph has nothing "
                "beside its matrices"
            )
    if recipe.inexact is not None and not force:
        raise RecipeError(
            f"recipe {name!r}: rounding a graph to {recipe.base} would ruin it; choose int8 "
            "or int4 (or --force it)"
        )


def _check_bits(model: GraphModel, recipe: Recipe, methods: Mapping[str, Method]) -> None:
    size = sum(matrix.weight.size for matrix in model.matrices.values())
    few = next((method for method in methods.values() if has_two_bits(method)), None)
    if few is not None and size < FEW:
        raise too_few(recipe, size, few)


def _check_linear(recipe: Recipe, name: str, readers: list[Layer]) -> None:
    other = next((layer.op for layer in readers if layer.op != LINEAR), None)
    if other is not None:
        raise RecipeError(
            f"recipe {str(recipe)!r}: {name!r} is of {other}, whose kernels multiply codes with codes; "
            f"a16 is for {LINEAR}: add {name}=int8"
        )


def _wanted(recipe: Recipe, name: str, matrix: Matrix, readers: list[Layer]) -> Method:
    rule = recipe.rule(name)
    if rule is not None:
        return rule
    body = recipe.inexact or recipe.body
    if recipe.keeps and matrix.kept is None and float_error(matrix.weight, HALF.format) == 0:
        return HALF
    if body.format.is_float or recipe.keeps and matrix.kept is not None:
        return body
    if matrix.weight.size < SMALL or any(_is_first(layer) for layer in readers):
        return FLOAT
    if any(layer.op == EMBEDDING for layer in readers):  # looked up, not multiplied
        return Method(ROWS, "absmax")
    return body


def _is_first(layer: Layer) -> bool:
    return int(layer.node.attributes.get("channels", FEW_CHANNELS + 1)) <= FEW_CHANNELS


def _by_rows(method: Method) -> Method:
    """What convolutions with a window and recurrent layers run as, nearest to a method."""
    if method.format.is_float or method.format == ROWS:
        return method
    data = find(method.rounding).needs_data
    rounding = method.rounding if data else "rtn"
    return Method(ROWS, "absmax", rounding, activation=method.activation, range=method.range)


def _runs_by_rows(layer: Layer) -> bool:
    return layer.has_window or layer.op in RECURRENT


def _notes(recipe: Recipe, windows: list[str]) -> tuple[str, ...]:
    if not windows:
        return ()
    form = recipe.body.format
    what = "matrices of convolutions with a window or of recurrent layers"
    return (f"{len(windows)} {what} are {ROWS}, which these run as, not {form}",)
