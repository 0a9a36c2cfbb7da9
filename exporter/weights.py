"""A model's tensors by our names, as transforms leave them."""

from dataclasses import dataclass, field

import numpy as np

from edge.errors import SourceError
from edge.format.formats import QuantizedTensor

from .architectures import Lowered
from .architectures.placement import Placement
from .quantize import quantization_error
from .rows import row_blocks
from .sources import Source

LARGEST_WEIGHT = 1e30  # beyond it, sums of squares and spans of groups overflow


@dataclass
class Factors:
    """What a tensor's rows (a vector's elements) and columns are multiplied by; float32."""

    rows: np.ndarray | None = None
    columns: np.ndarray | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        if self.rows is not None:
            values = values * (self.rows[:, None] if values.ndim == 2 else self.rows)
        return values if self.columns is None else values * self.columns


@dataclass
class Weights:
    """Reads tensors one at a time; `factors` by name, of transforms that were applied."""

    source: Source
    model: Lowered
    factors: dict[str, Factors] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._placements = {tensor.name: tensor for tensor in self.model.tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._placements

    def read(self, name: str) -> np.ndarray:
        """float32, all finite.  Raises SourceError if the tensor is broken."""
        tensor = self._placements[name]
        values = tensor.read(self.source)
        for at in row_blocks(values.shape):
            if not np.abs(values[at]).max() < LARGEST_WEIGHT:  # also where it is NaN
                raise self.not_finite(tensor)
        return self.factors[name].apply(values) if name in self.factors else values

    def kept_error(self, name: str, kept: QuantizedTensor) -> float:
        """||W - kept|| / ||W|| of a matrix that stays on its grid: what rounded scales move."""
        if self.source.grids_are_exact:
            return 0.0
        return quantization_error(self.read(name), kept)

    def multiply(self, name: str, rows: np.ndarray | None, columns: np.ndarray | None) -> None:
        old = self.factors.get(name, Factors())
        self.factors[name] = Factors(_product(old.rows, rows), _product(old.columns, columns))

    def of_layer(self, layer: int) -> dict[str, np.ndarray]:
        """The factors of a layer's tensors, to keep: "rows NAME" and "columns NAME"."""
        mine = {n: f for n, f in self.factors.items() if n.startswith(f"layers.{layer}.")}
        rows = {f"rows {n}": f.rows for n, f in mine.items() if f.rows is not None}
        columns = {f"columns {n}": f.columns for n, f in mine.items() if f.columns is not None}
        return rows | columns

    def restore(self, kept: dict[str, np.ndarray]) -> None:
        """Factors that `of_layer` gave."""
        for key, factor in kept.items():
            axis, name = key.split(" ", 1)
            setattr(self.factors.setdefault(name, Factors()), axis, factor)

    def columns_factor(self, name: str) -> np.ndarray | None:
        """What the tensor's input was divided by, float32 [columns]."""
        return self.factors[name].columns if name in self.factors else None

    def not_finite(self, tensor: Placement) -> SourceError:
        return SourceError(
            f"{self.source.name}: tensor {tensor.source!r} holds NaN or numbers beyond "
            f"{LARGEST_WEIGHT:g}: the file is broken"
        )


def _product(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    if a is None or b is None:
        return b if a is None else a
    product: np.ndarray = a * b
    return product
