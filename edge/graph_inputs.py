"""What a user feeds to a graph, checked before anything runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import InputError
from edge.format.element_types import held_as
from edge.format.graph import Value

Sizes = dict[str, tuple[int, str]]  # of a named dimension: its size, and the input that has it


def checked(inputs: tuple[Value, ...], feeds: Mapping[str, Any]) -> dict[str, Any]:
    """The feeds as kernels want them: arrays in one piece, of the right type.

    Raises InputError for an input that is missing, unknown, or of another type, rank or size.
    """
    names = [value.name for value in inputs]
    for name in feeds:
        if name not in names:
            raise InputError(f"no input {name!r:.80}; the graph has {_listed(names)}")
    sizes: Sizes = {}
    return {value.name: _checked(value, feeds, sizes) for value in inputs}


def _checked(value: Value, feeds: Mapping[str, Any], sizes: Sizes) -> Any:
    kind, inner = _kind(value.dtype)
    if kind == "optional":
        fed = feeds.get(value.name)
        return None if fed is None else _checked(Value(value.name, inner), {value.name: fed}, sizes)
    if value.name not in feeds:
        raise InputError(f"input {value.name!r:.80} is missing; give {_expected(value)}")
    fed = feeds[value.name]
    if kind == "sequence":
        if not isinstance(fed, list | tuple):
            raise InputError(f"input {value.name!r:.80}: {_found(fed)}, expected a list of arrays")
        return [_array(Value(value.name, inner), item, sizes) for item in fed]
    return _array(value, fed, sizes)


def _array(value: Value, fed: Any, sizes: Sizes) -> np.ndarray:
    if not isinstance(fed, np.ndarray | np.generic):
        raise InputError(f"input {value.name!r:.80}: {_found(fed)}, expected {_expected(value)}")
    array = np.asarray(fed)
    if array.dtype.kind in "US":
        array = array.astype(str).astype(object)
    if array.dtype != held_as(value.dtype):
        raise InputError(f"input {value.name!r:.80}: {_found(array)}, expected {_expected(value)}")
    _check_shape(value, array.shape, sizes)
    is_plain = array.flags.c_contiguous and array.flags.aligned
    return array if is_plain else np.require(array, requirements=("C", "A"))


def _check_shape(value: Value, found: tuple[int, ...], sizes: Sizes) -> None:
    if value.shape is None:
        return
    fits = len(found) == len(value.shape)
    for size, declared in zip(found, value.shape, strict=False):
        fits = fits and (not isinstance(declared, int) or size == declared)
    if not fits:
        raise InputError(f"input {value.name!r:.80}: shape {list(found)}, expected {shown(value)}")
    for size, declared in zip(found, value.shape, strict=True):
        if isinstance(declared, str):
            _check_named(value, declared, size, sizes)


def _check_named(value: Value, dimension: str, size: int, sizes: Sizes) -> None:
    before, other = sizes.setdefault(dimension, (size, value.name))
    if before != size:
        raise InputError(
            f"input {value.name!r:.80}: {dimension} is {size}, expected {before} as of {other!r:.80}"
        )


def shown(value: Value) -> str:
    """A shape for people: [N, 3, ?]."""
    if value.shape is None:
        return "any shape"
    return f"[{', '.join('?' if size is None else str(size) for size in value.shape)}]"


def _expected(value: Value) -> str:
    return f"{value.dtype} {shown(value)}"


def _found(fed: Any) -> str:
    if isinstance(fed, np.ndarray):
        return f"{fed.dtype} {list(fed.shape)}"
    return f"a {type(fed).__name__}"


def _kind(dtype: str) -> tuple[str, str]:
    """("sequence", "float32") of "sequence(float32)"; ("", "float32") of "float32"."""
    kind, _, inner = dtype.partition("(")
    return (kind, inner[:-1]) if inner else ("", dtype)


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
