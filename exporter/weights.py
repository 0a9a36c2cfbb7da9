"""A model's tensors by our names, as transforms leave them."""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from edge.errors import SourceError
from edge.format.addends import Addends
from edge.format.formats import QuantizedTensor

from .architectures import Lowered
from .architectures.placement import Placement
from .augmented import Augmented
from .calibration.moments import Moments
from .rotation import Rotation
from .rows import row_blocks
from .sources import Source
from .sources.lora import LoraSource

LARGEST_WEIGHT = 1e15  # no trained weight is near; far beyond, sums of squares overflow


@dataclass
class Factors:
    """What a tensor's rows (a vector's elements) and columns are multiplied by; float32.

    stored  what its input is multiplied by at run time, for factors that no tensor before it took
    """

    rows: np.ndarray | None = None
    columns: np.ndarray | None = None
    stored: np.ndarray | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        if self.rows is not None:
            values = values * (self.rows[:, None] if values.ndim == 2 else self.rows)
        return values if self.columns is None else values * self.columns


@dataclass(frozen=True)
class Turn:
    """A tensor of a rotated model, before factors.

    gain     float32 [columns] or None: of the norm that is before the matrix, taken into it
    columns  what its input is rotated by, or None
    rows     what its output is rotated by, or None
    flat     a norm whose gain its readers have taken: ones
    """

    gain: np.ndarray | None = None
    columns: Rotation | None = None
    rows: Rotation | None = None
    flat: bool = False

    def apply(self, values: np.ndarray) -> np.ndarray:
        """The tensor's values, float32."""
        if self.flat:
            return np.ones_like(values)
        if self.rows is not None:
            values = np.ascontiguousarray(self.rows(values.T).T)
        return values if self.columns is None else self._turned(values, self.columns)

    def _turned(self, values: np.ndarray, rotation: Rotation) -> np.ndarray:
        turned = np.empty_like(values)
        for at in row_blocks(values.shape):
            turned[at] = rotation(values[at] if self.gain is None else values[at] * self.gain)
        return turned

    def inputs(self, x: np.ndarray) -> np.ndarray:
        """What the matrix reads now, for x [..., columns] that it read before."""
        if self.gain is not None:  # of a gain of 0 there is nothing to see
            x = x * np.divide(1, self.gain, out=np.zeros_like(self.gain), where=self.gain != 0)
        return x if self.columns is None else self.columns(x)


@dataclass
class Weights:
    """Reads tensors one at a time, as transforms have left them.

    turns, factors  what transforms did, by name: rotations first, then factors
    """

    source: Source
    model: Lowered
    turns: dict[str, Turn] = field(default_factory=dict)
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
        if name in self.turns:
            values = self.turns[name].apply(values)
        return self.factors[name].apply(values) if name in self.factors else values

    def beside(self, name: str) -> Addends:
        """What an adapter adds to a matrix that stays on its grid."""
        if not isinstance(self.source, LoraSource):
            return Addends()
        return Addends(low_rank=self._placements[name].beside(self.source))

    def kept_error(self, name: str, kept: QuantizedTensor) -> float:
        """||W - kept|| / ||W|| of a matrix that stays on its grid: what rounded scales move."""
        beside = self.beside(name)
        if self.source.grids_are_exact and not beside:
            return 0.0
        return Augmented(kept, beside).error(self.read(name))

    def multiply(self, name: str, rows: np.ndarray | None, columns: np.ndarray | None) -> None:
        old = self.factors.get(name, Factors())
        rows, columns = _product(old.rows, rows), _product(old.columns, columns)
        self.factors[name] = Factors(rows, columns, old.stored)

    def multiply_alone(self, name: str, columns: np.ndarray) -> None:
        """Multiply a matrix's columns; its input is divided by them at run time."""
        self.multiply(name, None, columns)
        mine = self.factors[name]
        mine.stored = _product(mine.stored, 1 / columns)

    def in_scale(self, name: str) -> np.ndarray | None:
        return self.factors[name].stored if name in self.factors else None

    def inputs(self, name: str, x: np.ndarray) -> np.ndarray:
        """x [..., columns], which the matrix reads in the source model, as it reads it now."""
        if name in self.turns:
            x = self.turns[name].inputs(x)
        factor = self.factors[name].columns if name in self.factors else None
        return x if factor is None else x / factor

    def second_moments(self, name: str, h: np.ndarray) -> np.ndarray:
        """H = E[x x^T] of the matrix's input [columns, columns], likewise."""
        return self.inputs(name, self.inputs(name, h).T)

    def typical_inputs(self, name: str, moments: Moments) -> np.ndarray:
        """float32 [columns]: the root mean square of the matrix's inputs, sinks apart."""
        h = self.second_moments(name, moments.plain)
        typical: np.ndarray = np.sqrt(np.diagonal(h)).astype(np.float32)
        return typical

    def untie(self, note: str) -> None:
        """Give the model an output matrix of its own, the embedding as it is; `note` says why."""
        embedding = self._placements["embedding.weight"]
        others = [tensor for tensor in self.model.tensors if tensor is not embedding]
        self.model = replace(
            self.model,
            config=replace(self.model.config, tied_embedding=False),
            tensors=(embedding, *others, replace(embedding, name="output.weight")),
            notes=(*self.model.notes, note),
        )
        self.__post_init__()

    def of_layer(self, layer: int) -> dict[str, np.ndarray]:
        """The factors of a layer's tensors, to keep: "rows NAME", "columns NAME", ..."""
        mine = {n: f for n, f in self.factors.items() if n.startswith(f"layers.{layer}.")}
        axes = [field.name for field in fields(Factors)]
        found = {f"{axis} {n}": getattr(f, axis) for n, f in mine.items() for axis in axes}
        return {key: factor for key, factor in found.items() if factor is not None}

    def restore(self, kept: dict[str, np.ndarray]) -> None:
        """Factors that `of_layer` gave."""
        for key, factor in kept.items():
            axis, name = key.split(" ", 1)
            setattr(self.factors.setdefault(name, Factors()), axis, factor)

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
