"""A folder of statistics: a file a layer, so that work goes on where it stopped."""

import json
import os
import re
import zlib
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError

from . import moments
from .moments import SINK, Moments

NOTE, TOKENS, ENERGY = "calibration.json", "tokens.npy", "energy"
OURS = re.compile(
    r"layer-\d+\.npz|hidden-\d+\.npy|factors-[0-9a-f]{8}-\d+\.npz"
    r"|divergences-[0-9a-f]{8}\.json"
)
OF_LAYER = re.compile(r"layers\.(\d+)\.(.+)\.weight")
HELD_OUT = 8  # every 8th window is kept to judge by


class Statistics:
    """What a model's matrices read, of tensors by our names.

    `fit` is to choose by, `held_out` to judge by; matrices that read the same share an entry.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._layer = -1
        self._arrays: dict[str, np.ndarray] = {}

    def fit(self, tensor: str) -> Moments:
        return self._of(tensor, "fit")

    def held_out(self, tensor: str) -> Moments:
        return self._of(tensor, "held")

    def energy(self, layer: int) -> float:
        """Mean |h|^2 of the hidden states h that come out of a layer, without the sinks."""
        return float(self._of_layer(layer)[ENERGY])

    def _of(self, tensor: str, part: str) -> Moments:
        layer, name = split(tensor)
        arrays = self._of_layer(layer)
        return moments.load(arrays, f"{arrays[name]}.{part}")

    def _of_layer(self, layer: int) -> dict[str, np.ndarray]:
        if layer != self._layer:
            with np.load(self.folder / f"layer-{layer}.npz") as file:
                self._arrays = dict(file)
            self._layer = layer
        return self._arrays

    @property
    def identity(self) -> dict[str, Any]:
        """Which model and tokens these are of."""
        note: dict[str, Any] = json.loads((self.folder / NOTE).read_text())
        return note

    # --- written while layers pass ----------------------------------------------------------------

    def begin(self, identity: dict[str, Any], ids: np.ndarray) -> int:
        """Layers that are there already, of this model and these tokens."""
        self.folder.mkdir(exist_ok=True)
        note = self.folder / NOTE
        if note.exists() and json.loads(note.read_text()) != identity:
            for file in self.folder.iterdir():
                if OURS.fullmatch(file.name):
                    file.unlink()
        _replace(self.folder / TOKENS, lambda path: _save(path, ids))
        _replace(note, lambda path: path.write_text(json.dumps(identity)))
        states = [int(f.stem.split("-")[1]) for f in self.folder.glob("hidden-*.npy")]
        return max(states, default=-1) + 1

    def hidden(self, layer: int) -> np.ndarray:
        """float32 [windows, tokens, hidden] that come out of a layer."""
        states: np.ndarray = np.load(self.folder / f"hidden-{layer}.npy")
        return states

    def keep(
        self, layer: int, groups: dict[tuple[str, ...], dict[str, Moments]], hidden: np.ndarray
    ) -> None:
        arrays = {ENERGY: np.array(_energy(hidden[:, SINK:]))}
        for names, parts in groups.items():
            arrays |= {split(name)[1]: np.array(split(names[0])[1]) for name in names}
            for part, values in parts.items():
                arrays |= moments.save(values, f"{split(names[0])[1]}.{part}")
        _replace(self.folder / f"layer-{layer}.npz", lambda path: _savez(path, arrays))
        _replace(self.folder / f"hidden-{layer}.npy", lambda path: _save(path, hidden))
        (self.folder / f"hidden-{layer - 1}.npy").unlink(missing_ok=True)

    def keep_factors(self, recipe: str, layer: int, factors: dict[str, np.ndarray]) -> None:
        """What transforms of a recipe have made of a layer, so that a kill does not lose it."""
        _replace(self._factors(recipe, layer), lambda path: _savez(path, factors))

    def factors(self, recipe: str, layer: int) -> dict[str, np.ndarray] | None:
        path = self._factors(recipe, layer)
        if not path.exists():
            return None
        with np.load(path) as file:
            return dict(file)

    def _factors(self, recipe: str, layer: int) -> Path:
        return self.folder / f"factors-{_crc(recipe)}-{layer}.npz"

    def tokens(self) -> np.ndarray:
        """int64 [windows, tokens] that the statistics are of."""
        ids: np.ndarray = np.load(self.folder / TOKENS)
        return ids

    def keep_divergences(self, recipe: str, nats: dict[str, float]) -> None:
        """By the first of the matrices that were rounded, of a model as the recipe's transforms
        leave it."""
        _replace(self._divergences(recipe), lambda path: path.write_text(json.dumps(nats)))

    def divergences(self, recipe: str) -> dict[str, float]:
        path = self._divergences(recipe)
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _divergences(self, recipe: str) -> Path:
        return self.folder / f"divergences-{_crc(recipe)}.json"

    def remove(self) -> None:
        for file in self.folder.iterdir():
            if OURS.fullmatch(file.name):
                file.unlink()
        for name in (NOTE, TOKENS):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # other work lies there
            self.folder.rmdir()


def identity(digest: str, ids: np.ndarray) -> dict[str, Any]:
    """Which model and tokens statistics are of."""
    windows, crc = list(ids.shape), zlib.crc32(ids.tobytes())
    kinds = [ENERGY, *(field.name for field in fields(Moments))]  # an older version had fewer
    return {"source": digest, "windows": windows, "ids": crc, "statistics": kinds}


def is_of_layer(tensor: str) -> bool:
    return OF_LAYER.fullmatch(tensor) is not None


def split(tensor: str) -> tuple[int, str]:
    """Layer and name in it: "layers.3.attention.query.weight" -> 3, "attention.query"."""
    match = OF_LAYER.fullmatch(tensor)
    if match is None:
        raise SourceError(f"tensor {tensor!r} belongs to no layer; it has no statistics")
    return int(match[1]), match[2]


def _energy(hidden: np.ndarray) -> float:
    """Mean squared length of float32 [windows, tokens, hidden]; 0 of no tokens."""
    tokens = hidden.size // hidden.shape[-1]
    squares = (float(np.vdot(window, window)) for window in hidden)
    return float(sum(squares) / max(1, tokens))


def _crc(recipe: str) -> str:
    return f"{zlib.crc32(recipe.encode()):08x}"


def _replace(path: Path, write: Any) -> None:
    """All of a file or nothing."""
    temporary = path.with_name(f".{path.name}")
    write(temporary)
    os.replace(temporary, path)


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.save(file, array)


def _savez(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
