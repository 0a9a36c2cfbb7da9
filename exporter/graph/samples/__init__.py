"""What a graph is calibrated and verified with: dicts of arrays by the names of its inputs.

    a folder  of .npz (arrays by input name), .npy (a model with one input) or images
    a file    one of these
    Python    dicts or arrays, an iterable or a function that gives one; Images(path, mean, std)
    nothing   numbers from a seed: to verify with, not to calibrate

An array may lack the first axis of its input where that is a batch; where the model fixes a batch
of 1, each item of a longer first axis is a sample.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import RecipeError
from edge.format.graph import Value

from .check import checked
from .files import Images, of_path

Calib = str | Path | np.ndarray | Images | Iterable[Any] | Callable[[], Iterable[Any]]
Sample = dict[str, np.ndarray]
MOST = 128  # that are read


@dataclass(frozen=True)
class Samples:
    """name  what the samples came from, for people; random  nobody has given any."""

    items: tuple[Sample, ...]
    name: str
    random: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.items)

    def digest(self) -> str:
        """SHA-256 of all that is in them, in hex."""
        found = hashlib.sha256()
        for item in self.items:
            for name in sorted(item):
                found.update(f"{name} {item[name].dtype} {item[name].shape}".encode())
                found.update(np.ascontiguousarray(item[name]).tobytes())
        return found.hexdigest()

    def some(self, count: int) -> "Samples":
        """So many, evenly spread."""
        at = np.linspace(0, len(self.items) - 1, min(count, len(self.items))).round().astype(int)
        return Samples(
            tuple(self.items[i] for i in dict.fromkeys(at.tolist())), self.name, self.random
        )


def read_samples(calib: Calib, inputs: Sequence[Value]) -> Samples:
    """At most MOST, checked against the inputs.

    Raises RecipeError for what is not there, of a wrong name, type or shape, or NaN.
    """
    where, found = _opened(calib, inputs)
    split = (part for label, item in found for part in checked(label, item, inputs))
    items = tuple(islice(split, MOST))
    if not items:
        raise RecipeError(f"{where}: nothing to calibrate with; expected .npz, .npy or images")
    return Samples(items, where)


def _opened(calib: Calib, inputs: Sequence[Value]) -> tuple[str, Iterator[tuple[str, Any]]]:
    if isinstance(calib, str | Path | Images):
        images = calib if isinstance(calib, Images) else Images(calib)
        return Path(images.path).name, of_path(images, inputs)
    if callable(calib):
        calib = calib()
    if isinstance(calib, np.ndarray):
        calib = [calib]
    return "samples", ((f"sample {i}", item) for i, item in enumerate(calib))
