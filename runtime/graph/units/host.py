"""An operator in NumPy between kernels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.format.graph import Node

from ...numpy_kernels.memory import view as at
from ..storage import Memory, Place

Call = Callable[[Node, list[Any], Mapping[str, Any]], tuple[Any, ...]]


@dataclass(eq=False)
class Host:
    """Reads arrays and values of the arena alike; writes into the arena what kernels read."""

    node: Node

    def run(self, call: Call, values: dict[str, Any], views: "Views", memory: Memory) -> None:
        """Its outputs into `values`, or where the arena has them."""
        inputs = [
            None if not name else values[name] if name in values else views[name]
            for name in self.node.inputs
        ]
        around = values if not any(self.node.graphs) else {**views.all(), **values}
        for name, result in zip(self.node.outputs, call(self.node, inputs, around), strict=False):
            if not name:
                continue
            if name in views:
                views.write(name, result)
                if np.ndim(result) == 0:  # the arena has it as a vector of one
                    values[name] = result
            elif isinstance(result, np.ndarray) and memory.holds(result):
                values[name] = result.copy()
            else:
                values[name] = result


class Views:
    """Values of an arena that has been laid out, as arrays: each is made once."""

    def __init__(self, places: Mapping[str, Place]):
        self._places = places
        self._views: dict[str, np.ndarray] = {}
        self._padding: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._views:
            self._views[name] = view(self._places[name])
        return self._views[name]

    def all(self) -> dict[str, np.ndarray]:
        """What graphs inside of a node may ask for."""
        return {name: self[name] for name in self._places}

    def write(self, name: str, array: np.ndarray) -> None:
        """Store an array, and zeros behind its rows."""
        self[name][...] = array
        if name not in self._padding:
            place = self._places[name]
            self._padding[name] = _rows(place)[:, place.size :]
        self._padding[name].fill(0)


def view(place: Place) -> np.ndarray:
    """The value as an array, in place."""
    return _rows(place)[:, : place.size].reshape(place.shape) if place.is_dense else _strided(place)


def _rows(place: Place) -> np.ndarray:
    """float32 [rows, width]"""
    return at(place.address, (place.rows, place.width), "<f4")


def _strided(place: Place) -> np.ndarray:
    return at(place.address, place.shape, "<f4", place.steps()[:-1])
