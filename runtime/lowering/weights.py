"""Tensors of a file as ops name them: addresses, formats and what products ask of these."""

from dataclasses import dataclass, replace

import numpy as np

from edge.errors import FormatError
from edge.format import beside
from edge.format.formats import WeightFormat
from edge.format.reader import EdgeFile
from edge.format.spec import PAYLOADS, weight_format

from ..plan import Arena
from .buffers import BY_TOKEN, FLOAT, Encoding, Taken, encoding


@dataclass(frozen=True)
class Matrix:
    """A weight in the file: y = W x + bias."""

    name: str
    form: WeightFormat
    rows: int
    columns: int
    address: int
    bias: int = 0  # address or 0
    outliers: "Outliers | None" = None
    sparse: "Sparse | None" = None
    low_rank: "LowRank | None" = None
    scale: float = 0.0  # of its input's codes, as Encoding has it
    order: int = 0  # address of the order in which it reads its input's columns, or 0
    factor: int = 0  # address of what these are multiplied by, or 0
    weight_only: bool = False  # codes whose input stays floats

    @property
    def encoding(self) -> Encoding:
        taken = None if self.outliers is None else self.outliers.taken
        wanted = FLOAT if self.weight_only else encoding(self.form)
        return replace(wanted, taken=taken, scale=self.scale, order=self.order, factor=self.factor)

    @property
    def kernel(self) -> str:
        """Of its product with activations in this encoding."""
        return f"weight-only-{self.form.kind}" if self.weight_only else f"matmul-{self.form}"

    @property
    def scales_layout(self) -> tuple[int, int, int]:
        """Columns a scale, columns a multiplier, and whether there is an offset: what weight-only
        products are told (kernels/weight_only.py); nothing of floats."""
        if self.form.is_float:
            return 0, 0, 0
        return self.form.group, self.form.multiplier_columns, int(self.form.offset)

    @property
    def steps(self) -> int:
        """Turns of the product's outer loop (kernels/matmul.py), or columns."""
        if self.form.is_float or self.weight_only:
            return self.columns
        if self.form.group and not self.form.multiplier_columns:
            return self.form.blocks(self.columns)
        unit = 96 if self.form.kind == "ternary-dense" else 64
        return self.form.padded_columns(self.columns) // unit


def _scale(activation: str | float | None) -> float:
    """Of an Encoding."""
    if isinstance(activation, float):
        return activation
    return BY_TOKEN if activation == "token" else 0.0


@dataclass(frozen=True)
class Outliers:
    """Columns of the input that have weights of their own (edge/format/addends.py)."""

    taken: Taken
    weight: Matrix


@dataclass(frozen=True)
class Sparse:
    """Addresses of int32 [rows + 1] and of the entries."""

    rows: int
    entries: int


@dataclass(frozen=True)
class LowRank:
    left: Matrix
    right: Matrix


class Weights:
    """Tensors of a file, each checked against what the configuration says it is.

    Indices are copied to the arena: what kernels find others by is read from the file once.
    """

    def __init__(self, file: EdgeFile, arena: Arena):
        self._file, self.arena = file, arena
        self._taken: dict[bytes, Taken] = {}
        self._orders: dict[bytes, int] = {}

    def vector(self, name: str, size: int) -> int:
        info = self._file.info(name)
        if info.format != "vector" or info.shape != (size,):
            self._mismatch(name, f"a vector of {size}")
        return self._file.address(name)

    def matrix(self, name: str, rows: int, columns: int) -> Matrix:
        info = self._file.info(f"{name}.weight")
        if info.shape != (rows, columns) or info.format in PAYLOADS:
            self._mismatch(f"{name}.weight", f"a matrix of {rows} x {columns}")
        bias, form = f"{name}.bias", weight_format(info.format)
        return Matrix(
            name=name,
            form=form,
            rows=rows,
            columns=columns,
            address=self._file.address(f"{name}.weight"),
            bias=self.vector(bias, rows) if bias in self._file else 0,
            outliers=self._outliers(name, info.activation),
            sparse=self._sparse(name),
            low_rank=self._low_rank(name),
            scale=_scale(info.activation),
            order=self._order(name),
            factor=self._factor(name, form, columns),
            weight_only=info.activation == "float",
        )

    def _order(self, name: str) -> int:
        order = beside.order(self._file, name)
        if order is None:
            return 0
        key = order.tobytes()
        if key not in self._orders:  # matrices that read the same share it
            self._orders[key] = self._placed(order)
        return self._orders[key]

    def _factor(self, name: str, form: WeightFormat, columns: int) -> int:
        stored = f"{name}.in_scale"
        if stored not in self._file:
            return 0
        if form.is_float:
            self._mismatch(f"{name}.weight", f"codes, for there is {stored!r}")
        return self.vector(stored, columns)

    def _outliers(self, name: str, activation: str | float | None) -> Outliers | None:
        columns = beside.outlier_columns(self._file, name)
        if columns is None:
            return None
        if activation == "float":  # nothing is rounded that they would have to be kept from
            self._mismatch(f"{name}.weight", "codes of activations, for there are outlier columns")
        key = columns.tobytes()
        if key not in self._taken:  # matrices that read the same share it
            self._taken[key] = Taken(self._placed(columns), len(columns))
        return Outliers(self._taken[key], self._floats(f"{name}.outlier_weight"))

    def _sparse(self, name: str) -> Sparse | None:
        found = beside.sparse(self._file, name)
        if found is None:
            return None
        return Sparse(self._placed(found.rows), self._placed(found.entries))

    def _low_rank(self, name: str) -> LowRank | None:
        if f"{name}.low_rank_left" not in self._file:
            return None
        left, right = (self._floats(f"{name}.low_rank_{side}") for side in ("left", "right"))
        return LowRank(left, right)

    def _floats(self, name: str) -> Matrix:
        """The header has been checked for its format and shape."""
        info = self._file.info(name)
        rows, columns = info.shape
        return Matrix(name, weight_format(info.format), rows, columns, self._file.address(name))

    def _placed(self, indices: np.ndarray) -> int:
        copy = self.arena.array(indices.shape, "<i4")
        copy[:] = indices
        return int(copy.ctypes.data)

    def _mismatch(self, name: str, expected: str) -> None:
        info = self._file.info(name)
        shape = " x ".join(map(str, info.shape))
        raise FormatError(
            f"{self._file.path}: tensor {name!r} is {info.format} of {shape}, expected {expected}"
        )
