"""Tensors of a file as ops name them: addresses, formats and what products ask of these."""

from dataclasses import dataclass, replace

from edge.errors import FormatError
from edge.format.formats import WeightFormat
from edge.format.reader import EdgeFile
from edge.format.spec import weight_format

from .buffers import BY_TOKEN, Encoding, encoding


@dataclass(frozen=True)
class Matrix:
    """A weight in the file: y = W x + bias."""

    name: str
    form: WeightFormat
    rows: int
    columns: int
    address: int
    bias: int  # address or 0
    scale: float = 0.0  # of its input's codes, as Encoding has it
    factor: int = 0  # address of what its input is multiplied by, or 0

    @property
    def encoding(self) -> Encoding:
        return replace(encoding(self.form), scale=self.scale, factor=self.factor)

    @property
    def steps(self) -> int:
        """Turns of the product's outer loop (kernels/matmul.py)."""
        if self.form.is_float:
            return self.columns
        if self.form.group and not self.form.multiplier_columns:
            return self.form.blocks(self.columns)
        unit = 96 if self.form.kind == "ternary-dense" else 64
        return self.form.padded_columns(self.columns) // unit


class Weights:
    """Tensors of a file, each checked against what the configuration says it is."""

    def __init__(self, file: EdgeFile):
        self._file = file

    def vector(self, name: str, size: int) -> int:
        info = self._file.info(name)
        if info.format != "vector" or info.shape != (size,):
            self._mismatch(name, f"a vector of {size}")
        return self._file.address(name)

    def matrix(self, name: str, rows: int, columns: int) -> Matrix:
        info = self._file.info(f"{name}.weight")
        if info.shape != (rows, columns) or info.format in ("vector", "bytes"):
            self._mismatch(f"{name}.weight", f"a matrix of {rows} x {columns}")
        bias = f"{name}.bias"
        address = self.vector(bias, rows) if bias in self._file else 0
        form = weight_format(info.format)
        return Matrix(
            name, form, rows, columns, self._file.address(f"{name}.weight"), address,
            scale=BY_TOKEN if info.activation == "token" else float(info.activation or 0),
            factor=self._factor(name, form, columns),
        )  # fmt: skip

    def _factor(self, name: str, form: WeightFormat, columns: int) -> int:
        stored = f"{name}.in_scale"
        if stored not in self._file:
            return 0
        if form.is_float:
            self._mismatch(f"{name}.weight", f"codes, for there is {stored!r}")
        return self.vector(stored, columns)

    def _mismatch(self, name: str, expected: str) -> None:
        info = self._file.info(name)
        shape = " x ".join(map(str, info.shape))
        raise FormatError(
            f"{self._file.path}: tensor {name!r} is {info.format} of {shape}, expected {expected}"
        )
