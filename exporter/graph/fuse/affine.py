"""Multiplying and shifting by constants, channel by channel: y = x scale + shift."""

from dataclasses import dataclass

import numpy as np

from edge.format.graph import Node

from .editing import Editing

LARGEST = float(np.finfo(np.float32).max)
OPS = ("Mul", "Div", "Add", "Sub")


@dataclass(frozen=True)
class Affine:
    """What a node does to its input `x`; float64, of one element or one a channel."""

    x: str
    scale: np.ndarray
    shift: np.ndarray

    def fits(self, channels: int) -> bool:
        """Not so where it has channels and what it is beside has one for all of them."""
        return all(len(part) in (1, channels) for part in (self.scale, self.shift))


def affine(edit: Editing, node: Node | None, rank: int, axis: int) -> Affine | None:
    """A node as one of these, of values with so many axes, whose channels lie along `axis`."""
    if node is None or node.op not in OPS:
        return None
    a, b = node.inputs
    x, constant = (a, b) if edit.constant(b) is not None else (b, a)
    values = along(edit.constant(constant), rank, axis)
    if values is None or edit.constant(x) is not None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op == "Mul":
        return Affine(x, values, zero)
    if node.op == "Add":
        return Affine(x, one, values)
    if node.op == "Sub":
        return Affine(x, one, -values) if x == a else Affine(x, -one, values)
    return Affine(x, 1 / values, zero) if x == a and np.all(values) else None


def finite(*arrays: np.ndarray) -> bool:
    """In float32; weights that are not would only be found far from where they come from."""
    return all(bool((abs(array) <= LARGEST).all()) for array in arrays)


def along(array: np.ndarray | None, rank: int, axis: int) -> np.ndarray | None:
    """float64 [n] of a constant that varies along one axis only, [1] of a single number."""
    if array is None or array.ndim > rank or array.dtype.kind != "f" or not finite(array):
        return None
    lengths = (1,) * (rank - array.ndim) + array.shape
    if array.size != lengths[axis]:
        return None
    return array.reshape(-1).astype(np.float64)
