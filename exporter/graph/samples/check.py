"""One sample against what a model takes: one clear error each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge.errors import RecipeError
from edge.format.graph import Value

HELD = {"bfloat16": "float32", "int4": "int8", "uint4": "uint8"}


def checked(label: str, item: Any, inputs: Sequence[Value]) -> Iterator[dict[str, np.ndarray]]:
    """The sample, or the samples that a longer batch has.  Raises RecipeError."""
    arrays = _by_name(label, item, inputs)
    fitted = {value.name: _fitted(label, arrays[value.name], value) for value in inputs}
    batches = {len(a) for v in inputs if _is_single(v) for a in [fitted[v.name]]}
    if not batches or batches == {1}:
        yield fitted
        return
    if len(batches) > 1 or not all(_is_single(v) for v in inputs):
        raise RecipeError(f"{label}: the model takes one item at a time, this has {max(batches)}")
    for i in range(batches.pop()):
        yield {name: array[i : i + 1] for name, array in fitted.items()}


def _by_name(label: str, item: Any, inputs: Sequence[Value]) -> Mapping[str, Any]:
    names = [value.name for value in inputs]
    if not isinstance(item, Mapping):
        if len(names) != 1:
            wanted = ", ".join(names)
            raise RecipeError(
                f"{label}: one array, but the model has the inputs {wanted}; give .npz"
            )
        return {names[0]: item}
    for name in item:
        if name not in names:
            raise RecipeError(f"{label}: no input {name!r:.80}; the model has {', '.join(names)}")
    for name in names:
        if name not in item:
            raise RecipeError(f"{label}: input {name!r:.80} is missing")
    return item


def _fitted(label: str, found: Any, value: Value) -> np.ndarray:
    array = np.asarray(found)
    dtype = HELD.get(value.dtype, value.dtype)
    what = f"{label}: input {value.name!r:.80}"
    if dtype == "string" or "(" in dtype:
        raise RecipeError(f"{what} is {value.dtype}: it cannot be calibrated with arrays")
    if array.dtype != np.dtype(dtype) and not _is_safe(array, np.dtype(dtype)):
        raise RecipeError(f"{what}: {array.dtype}, expected {value.dtype}")
    array = array.astype(dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RecipeError(f"{what} has NaN or infinite numbers")
    if value.shape is None:
        return array
    if array.ndim == len(value.shape) - 1:
        array = array[None]
    shape = value.shape if not _is_single(value) else (None, *value.shape[1:])
    fits = array.ndim == len(shape) and all(
        not isinstance(n, int) or n == m for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        expected = [n if n is not None else "?" for n in value.shape]
        raise RecipeError(f"{what}: shape {list(array.shape)}, expected {expected}")
    return array


def _is_safe(array: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Floats of another width, integers that lose nothing."""
    if array.dtype.kind == "f" and dtype.kind == "f":
        return True
    both = array.dtype.kind in "iu" and dtype.kind in "iu"
    return both and bool((array.astype(dtype) == array).all())


def _is_single(value: Value) -> bool:
    """Whether the model takes one item at a time."""
    return bool(value.shape) and value.shape is not None and value.shape[0] == 1
