"""An operator in NumPy between kernels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.format.graph import Node

from ..storage import Memory, Place

Call = Callable[[Node, list[Any], Mapping[str, Any]], tuple[Any, ...]]


@dataclass(eq=False)
class Host:
    """Reads arrays and values of the arena alike; writes into the arena what kernels read."""

    node: Node

    def run(
        self, call: Call, values: dict[str, Any], places: Mapping[str, Place], memory: Memory
    ) -> None:
        """Its outputs into `values`, or where `places` has them."""
        inputs = [
            None if not name else values[name] if name in values else view(places[name])
            for name in self.node.inputs
        ]
        around = values if not any(self.node.graphs) else _all(values, places)
        for name, result in zip(self.node.outputs, call(self.node, inputs, around), strict=False):
            if not name:
                continue
            if name in places:
                write(places[name], result)
            elif isinstance(result, np.ndarray) and memory.holds(result):
                values[name] = result.copy()
            else:
                values[name] = result


def _all(values: dict[str, Any], places: Mapping[str, Place]) -> dict[str, Any]:
    """What graphs inside of a node may ask for."""
    return {**{name: view(place) for name, place in places.items()}, **values}


def view(place: Place) -> np.ndarray:
    """The value as an array, in place."""
    return _rows(place)[:, : place.size].reshape(place.shape) if place.is_dense else _strided(place)


def write(place: Place, array: np.ndarray) -> None:
    """Store an array, and zeros behind its rows."""
    _strided(place)[...] = array
    if place.width != place.size:
        _rows(place)[:, place.size :] = 0


def _rows(place: Place) -> np.ndarray:
    """float32 [rows, width]"""
    return _at(place.address, (place.rows, place.width), (place.stride, 4))


def _strided(place: Place) -> np.ndarray:
    return _at(place.address, place.shape, place.steps())


def _at(address: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    return np.asarray(_Memory(address, shape, strides))


class _Memory:
    """What NumPy asks for to make an array of somebody else's memory."""

    def __init__(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...]):
        self.__array_interface__ = {
            "version": 3,
            "data": (address, False),
            "shape": shape,
            "typestr": "<f4",
            "strides": strides,
        }
