"""Matrices that a checkpoint stores in several tensors: codes, scales, zero points."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edge.errors import SourceError
from edge.format.formats import QuantizedTensor

from .integer_matrix import IntegerMatrix
from .shards import Shards

FLOATS = ("F16", "BF16", "F32")  # types of weights and scales as they are


@dataclass(frozen=True)
class Encoding:
    """One way to quantize a checkpoint.

    find      the packed matrices, by name; gets the checkpoint's quantization_config
    partners  last names of their parts, none of which may be left over
    unused    last names of tensors that serve the quantization of activations
    """

    find: Callable[[dict[str, Any], Shards], Mapping[str, "PackedMatrix"]]
    partners: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def rest(self, tensors: Shards, matrices: Mapping[str, "PackedMatrix"]) -> list[str]:
        """Names of the tensors that are stored as they are.  Raises SourceError for a lone part."""
        parts = {part for matrix in matrices.values() for part in matrix.parts}
        names = [name for name in tensors if name not in parts and not _ends(name, self.unused)]
        for name in names:
            if name in matrices:
                raise SourceError(f"{tensors.where(name)} is there a second time, quantized")
            coded = name.endswith(".weight") and tensors.entry(name).dtype not in (*FLOATS, "F64")
            if self.partners and (coded or _ends(name, self.partners)):
                raise SourceError(
                    f"{tensors.where(name)} is a part of a quantized matrix whose other parts are "
                    "missing; download the model again"
                )
        return names


def _ends(name: str, last_names: tuple[str, ...]) -> bool:
    return any(name.endswith("." + last) for last in last_names)


class PackedMatrix(Protocol):
    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the stored tensors it is made of."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the matrix that they make."""

    def read(self) -> np.ndarray:
        """float32 of `shape`.  Raises SourceError if the parts make no sense."""

    def kept(self) -> QuantizedTensor | None:
        """On its own grid, if edge stores that."""


@dataclass(frozen=True)
class Parts:
    """The stored tensors MODULE.NAME of one matrix."""

    tensors: Shards
    module: str
    names: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(f"{self.module}.{name}" for name in self.names)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors.entry(f"{self.module}.{name}").shape

    def dtype(self, name: str) -> str:
        return self.tensors.entry(f"{self.module}.{name}").dtype

    def stored(self, name: str) -> np.ndarray:
        return self.tensors.stored(f"{self.module}.{name}")

    def read(self, name: str) -> np.ndarray:
        return self.tensors.read(f"{self.module}.{name}")

    def nbytes(self, name: str) -> int:
        return self.tensors.entry(f"{self.module}.{name}").nbytes

    def error(self, name: str, problem: str) -> SourceError:
        where = self.tensors.where(f"{self.module}.{name}")
        return SourceError(
            f"{where}: {problem}; the file is broken or is not what config.json says"
        )

    def check(self, name: str, dtypes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        """Raises SourceError if a part is of another type or shape."""
        found = self.dtype(name), self.shape(name)
        if found[0] not in dtypes or found[1] != shape:
            raise self.error(
                name,
                f"{found[0]} of shape {list(found[1])}, "
                f"expected {' or '.join(dtypes)} of shape {list(shape)}",
            )

    def matrix_shape(self, name: str, dtypes: tuple[str, ...]) -> tuple[int, int]:
        """The shape of a part that must be a matrix with elements of such a type."""
        shape = self.shape(name)
        if len(shape) != 2 or 0 in shape or self.dtype(name) not in dtypes:
            raise self.error(
                name, f"{self.dtype(name)} of shape {list(shape)}, expected a matrix of {dtypes[0]}"
            )
        return shape[0], shape[1]


@dataclass(frozen=True)
class PackedIntegers:
    """A matrix of integers; `decode` reads and unpacks them."""

    parts: tuple[str, ...]
    shape: tuple[int, int]
    decode: Callable[[], IntegerMatrix]

    def read(self) -> np.ndarray:
        return self.decode().values()

    def kept(self) -> QuantizedTensor | None:
        return self.decode().on_grid()


def modules(
    tensors: Shards, main: str, needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[Parts]:
    """The modules that have a tensor MODULE.`main`, with its partners.

    Raises SourceError naming a partner that is missing.
    """
    for name in tensors:
        module = name.removesuffix("." + main)
        if module == name:
            continue
        for partner in needed:
            if f"{module}.{partner}" not in tensors:
                raise SourceError(
                    f"{tensors.where(name)} needs {f'{module}.{partner}'!r:.200}, which is missing; "
                    "download the model again"
                )
        present = [p for p in optional if p not in needed and f"{module}.{p}" in tensors]
        yield Parts(tensors, module, (main, *needed, *present))


def order_of(parts: Parts, name: str, group: int, groups: int) -> np.ndarray | None:
    """The group of each column, int64, by a part; None where it only counts them up.

    Raises SourceError if there is no such group.
    """
    order = parts.stored(name).astype(np.int64)
    if order.min() < 0 or order.max() >= groups:
        raise parts.error(
            name, f"groups {order.min()} to {order.max()}, expected 0 to {groups - 1}"
        )
    return None if (order == np.arange(len(order)) // group).all() else order
