"""Sequences, which are lists of arrays, and optional values, which are None where there is none."""

from typing import Any

import numpy as np

from edge.format.graph import Graph

from .registry import op
from .shapes import ints

Sequence = list[Any]


@op("SequenceConstruct", shaped_by=None)
def sequence_construct(*arrays: np.ndarray) -> Sequence:
    return list(arrays)


@op("SequenceEmpty", shaped_by=None)
def sequence_empty(*, dtype: str | None = None) -> Sequence:
    return []


@op("SequenceLength", shaped_by=None)
def sequence_length(sequence: Sequence) -> np.ndarray:
    return np.array(len(sequence), np.int64)


@op("SequenceAt", shaped_by=None)
def sequence_at(sequence: Sequence, position: np.ndarray) -> Any:
    return sequence[position.item()]


@op("SequenceInsert", shaped_by=None)
def sequence_insert(
    sequence: Sequence, array: np.ndarray, position: np.ndarray | None = None
) -> Sequence:
    at = len(sequence) if position is None else position.item()
    return [*sequence[:at], array, *sequence[at:]]


@op("SequenceErase", shaped_by=None)
def sequence_erase(sequence: Sequence, position: np.ndarray | None = None) -> Sequence:
    rest = list(sequence)
    del rest[-1 if position is None else position.item()]
    return rest


@op("SplitToSequence", shaped_by=None)
def split_to_sequence(
    x: np.ndarray, split: np.ndarray | None = None, *, axis: int = 0, keepdims: int = 1
) -> Sequence:
    """In pieces of one size or of these; of one each, without the axis unless `keepdims`."""
    size = x.shape[axis]
    if split is None:
        parts = np.split(x, size, axis) if size else []
        return parts if keepdims else [np.squeeze(part, axis) for part in parts]
    if split.ndim:
        return np.split(x, np.cumsum(ints(split))[:-1], axis)
    return np.split(x, range(split.item(), size, split.item()), axis)


@op("ConcatFromSequence", shaped_by=None)
def concat_from_sequence(sequence: Sequence, *, axis: int, new_axis: int = 0) -> np.ndarray:
    return np.stack(sequence, axis) if new_axis else np.concatenate(sequence, axis)


@op("SequenceMap", shaped_by=None, takes_scope=True)
def sequence_map(sequence: Sequence, *more: Any, body: Graph, scope: Any) -> tuple[Sequence, ...]:
    """Sequences of what the body makes of each element; arrays among `more` are the same for all."""
    turns = [
        scope.run(body, (element, *(m[i] if isinstance(m, list) else m for m in more)))
        for i, element in enumerate(sequence)
    ]
    return tuple([turn[i] for turn in turns] for i in range(len(body.outputs)))


@op("Optional", shaped_by=None)
def optional(value: Any = None, *, type: str | None = None) -> Any:
    return value


@op("OptionalHasElement", shaped_by=None)
def optional_has_element(value: Any = None) -> np.ndarray:
    return np.array(value is not None)


@op("OptionalGetElement", shaped_by=None)
def optional_get_element(value: Any) -> Any:
    if value is None:
        raise ValueError("there is no value")
    return value
