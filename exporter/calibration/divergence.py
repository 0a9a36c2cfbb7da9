"""What the precision of some matrices is worth to the model's predictions: measured.

A float16 copy of the model reads a few windows; then a group of matrices is rounded to few bits, and the
mean Kullback-Leibler divergence of the copy's predictions from what they were is noted down.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edge.format import tiles
from edge.format.reader import EdgeFile
from edge.format.writer import EdgeWriter
from edge.runtime.model import Model
from edge.runtime.perplexity import log_softmax

from ..language import parse
from ..store import Store
from ..weights import Weights
from .probe import rounded

WINDOWS, TOKENS, SCORED = 2, 256, 128  # scored are a window's last
Progress = Callable[[int, int], None]  # groups done, groups in all


def divergences(
    weights: Weights, ids: np.ndarray, groups: Sequence[Sequence[str]], progress: Progress
) -> Iterator[float]:
    """Nats a token for each of `groups` of matrices; ids int64 [windows, tokens].

    Needs disk for a float16 copy of the model, and memory to run it.
    """
    windows = ids[:: max(1, len(ids) // WINDOWS)][:WINDOWS, :TOKENS]
    with tempfile.TemporaryDirectory() as folder:
        _copy(weights, path := Path(folder, "float16.edge"))
        model = Model(EdgeFile(path), context=windows.shape[1], outputs=SCORED)
        base = [_predictions(model, window) for window in windows]
        with open(path, "r+b", buffering=0) as file:
            for i, names in enumerate(groups):
                for name in names:
                    _write(file.fileno(), model.file.info(name).offset, rounded(weights.read(name)))
                yield _mean_divergence(model, windows, base)
                for name in names:
                    _write(file.fileno(), model.file.info(name).offset, weights.read(name))
                progress(i + 1, len(groups))
        model.close()


def _copy(weights: Weights, path: Path) -> None:
    from ..pipeline import document

    model, recipe = weights.model, parse("float16")
    with EdgeWriter(path, tensors=len(model.tensors)) as writer:
        store = Store(writer, weights, recipe, force=True)
        for tensor in model.tensors:
            store.add(tensor)
        writer.document = document(weights, "", recipe, None)


def _write(file: int, at: int, matrix: np.ndarray) -> None:
    """Into the file that the model has mapped: its next step reads it."""
    os.pwrite(file, tiles.pack_floats(matrix, "float16").data, at)


def _mean_divergence(model: Model, windows: np.ndarray, base: list[np.ndarray]) -> float:
    pairs = zip(windows, base, strict=True)
    return float(np.mean([_divergence(before, _predictions(model, w)) for w, before in pairs]))


def _predictions(model: Model, window: np.ndarray) -> np.ndarray:
    """float32 [tokens, vocabulary]: log-probabilities after the last tokens of a window."""
    model.rewind(0)
    return log_softmax(model.forward(window.tolist(), outputs=min(SCORED, len(window))).copy())


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """sum P log(P / Q), the mean over tokens."""
    return float((np.exp(p) * (p - q)).sum(axis=1, dtype=np.float64).mean())
