"""Methods of other packages: entry points of the group `edge.methods`.

    [project.entry-points."edge.methods"]
    ternary_hqq = "my_package:ENTRY"          # an edge.exporter.registry.Entry

They are loaded when a recipe names one that is not ours, and for `--quant list`; nowhere else.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, wraps
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from edge.errors import RecipeError
from edge.format.formats import CODES, QuantizedTensor, WeightFormat

from .registry import KINDS, NAME, STAGES, Entry

GROUP = "edge.methods"


def names() -> list[str]:
    """Of what is installed, whether it can be loaded or not."""
    return sorted({point.name for point in entry_points(group=GROUP)})


@cache
def load(name: str) -> Entry | None:
    """The entry of that name, None if no package has one.  Raises RecipeError if it is broken."""
    points = tuple(entry_points(group=GROUP, name=name))
    if not points:
        return None
    where = f"method {name!r:.60} of {' and '.join(map(_package, points))}"
    if len(points) > 1:
        raise RecipeError(f"{where}: one name for two methods; uninstall one")
    try:
        entry = points[0].load()
    except Exception as error:  # whatever another package raises
        raise RecipeError(
            f"{where} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split()):.200}; "
            "update or uninstall it"
        ) from error
    return _checked(entry, name, where)


def listed(taken: set[str]) -> Iterator[tuple[str, str]]:
    """(name, sentence) of each; of one that is broken or hides behind a name of ours, why."""
    for name in names():
        if name in taken:
            yield name, "of another package is not used: edge has a method of that name."
            continue
        try:
            entry = load(name)
        except RecipeError as error:
            yield name, str(error)
        else:
            if entry is not None:
                yield name, entry.sentence


def _package(point: EntryPoint) -> str:
    return f"package {point.dist.name} {point.dist.version}" if point.dist else "a package"


def _checked(entry: object, name: str, where: str) -> Entry:
    """With what the method returns looked at: kernels look at nothing."""
    if not isinstance(entry, Entry) or entry.kind not in KINDS or not callable(entry.call):
        found = f"{type(entry).__name__} {getattr(entry, 'kind', '')}".rstrip()
        raise RecipeError(
            f"{where} is {found:.60}, expected an edge.exporter.registry.Entry of kind "
            f"{', '.join(KINDS)}; update or uninstall it"
        )
    if entry.kind == "transform" and entry.stage not in STAGES:
        raise RecipeError(
            f"{where}: a transform's stage is one of {', '.join(STAGES)}, not {entry.stage!r:.40}; "
            "update or uninstall it"
        )
    if not NAME.fullmatch(name):
        raise RecipeError(f"{where}: a name is of a-z, 0-9 and _, and not like g64; uninstall it")
    checks = {
        "scales": _checked_scales,
        "rounding": _checked_codes,
        "refinement": _checked_tensor,
    }
    check = checks.get(entry.kind)
    return entry if check is None else replace(entry, call=check(entry, where))


def _checked_scales(entry: Entry, where: str) -> Callable[..., Any]:
    @wraps(entry.call)
    def fit(groups: np.ndarray, form: WeightFormat, **data: Any) -> Any:
        from .scales.stored import stored

        scales, offsets = entry.call(groups, form, **data)
        parts = [scales, offsets] if form.offset else [scales]
        for part in parts:
            if np.shape(part) != groups.shape[:2] or not np.isfinite(part).all():
                raise RecipeError(
                    f"{where} gave scales or offsets of shape {list(np.shape(part))}, expected "
                    f"finite numbers of {list(groups.shape[:2])}; report it to its authors"
                )
        return stored(scales, form), stored(offsets, form) if form.offset else None

    return fit


def _checked_codes(entry: Entry, where: str) -> Callable[..., Any]:
    @wraps(entry.call)
    def round_(weights: np.ndarray, *rest: Any, **data: Any) -> np.ndarray:
        codes = entry.call(weights, *rest, **data)
        form = next(part for part in rest if isinstance(part, WeightFormat))
        return _valid(codes, weights.shape, form, where)

    return round_


def _checked_tensor(entry: Entry, where: str) -> Callable[..., Any]:
    @wraps(entry.call)
    def refine(matrix: np.ndarray, tensor: QuantizedTensor, h: np.ndarray) -> QuantizedTensor:
        better = entry.call(matrix, tensor, h)
        if not isinstance(better, QuantizedTensor) or better.format != tensor.format:
            raise RecipeError(
                f"{where} gave {type(better).__name__}, expected a tensor of {tensor.format}; "
                "report it to its authors"
            )
        _valid(better.codes, tensor.codes.shape, tensor.format, where)
        return better

    return refine


def _valid(codes: Any, shape: tuple[int, ...], form: WeightFormat, where: str) -> np.ndarray:
    levels = CODES[form.kind].levels
    kind, found = getattr(codes, "dtype", type(codes)), np.shape(codes)
    if kind != np.uint8 or found != shape or codes.max() >= levels:
        raise RecipeError(
            f"{where} gave codes of {kind} {list(found)}, expected uint8 {list(shape)} below "
            f"{levels}; report it to its authors"
        )
    result: np.ndarray = codes
    return result
