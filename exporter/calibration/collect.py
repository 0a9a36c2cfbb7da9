"""Run a source model over windows of tokens, a layer at a time, and keep what its matrices read.

The one place of the exporter that runs a model: through the runtime's float32 plan.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from edge.errors import RecipeError
from edge.format import tiles
from edge.format.formats import ALIGNMENT
from edge.format.reader import EdgeFile
from edge.format.spec import TensorInfo
from edge.runtime.libraries.choice import library
from edge.runtime.lowering.block import Block
from edge.runtime.model import Model, usable_cores

from ..architectures import Lowered
from ..sources import Source, TokenizerFiles
from ..weights import Weights
from .corpus import SELF_WINDOWS, WINDOW, Text, mixed, own_and_text, windows_for
from .moments import SINK, Moments
from .statistics import HELD_OUT, Statistics, identity

TOGETHER = 64  # windows of an encoder, which are short, in one step
Progress = Callable[[int, int], None]  # windows done, windows of all layers


def collect(
    source: Source,
    model: Lowered,
    ids: np.ndarray,
    folder: Path,
    progress: Progress = lambda done, total: None,
) -> Statistics:
    """Statistics of all layers for windows of ids, int64 [windows, tokens], in `folder`.

    Layers that `folder` has already are not run again.  Memory: a layer in float32, its second
    moments, and the windows' hidden states.
    """
    statistics = Statistics(folder)
    windows, layers = len(ids), model.config.layers
    first = statistics.begin(identity(source.digest(), ids), ids)
    if first == layers:
        return statistics
    hidden = statistics.hidden(first - 1) if first else _embedded(source, model, ids)
    for layer in range(first, layers):
        so_far = partial(_advance, progress, layer * windows, layers * windows)
        seen = _run(source, model, layer, hidden, so_far)
        statistics.keep(layer, seen, hidden)
    return statistics


def _advance(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _embedded(source: Source, model: Lowered, ids: np.ndarray) -> np.ndarray:
    """float32 [windows, tokens, hidden] that the first layer reads."""
    c, weights = model.config, Weights(source, model)
    words: np.ndarray = np.ascontiguousarray(weights.read("embedding.weight")[ids])
    if model.kind == "decoder":
        return words * np.float32(c.embedding_scale)
    positions = weights.read("positions").reshape(-1, c.position_width)
    words += positions[: ids.shape[1], : c.hidden]
    words -= words.mean(axis=-1, keepdims=True)
    words /= np.sqrt(words.var(axis=-1, keepdims=True) + np.float32(c.norm_epsilon))
    words *= weights.read("embedding_norm.weight")
    words += weights.read("embedding_norm.bias")
    return words


def _run(
    source: Source,
    model: Lowered,
    layer: int,
    hidden: np.ndarray,
    progress: Callable[[int], None],
) -> dict[tuple[str, ...], dict[str, Moments]]:
    """One layer over all windows, in place; moments of what matrices read, by their names."""
    is_decoder, found = model.kind == "decoder", _Found(layer)
    found.sinks = SINK if is_decoder else 0  # an encoder's tokens see each other
    together = 1 if is_decoder else TOGETHER
    tokens = together * hidden.shape[1]
    block = Block(_Layer(source, model, layer), library(), usable_cores(), tokens)  # type: ignore[arg-type]
    for start in range(0, len(hidden), together):
        windows = np.arange(start, min(start + together, len(hidden)))
        found.held = windows % HELD_OUT == HELD_OUT - 1
        block.run(hidden[windows[0] : windows[-1] + 1], found.add)
        progress(int(windows[-1]) + 1)
    block.close()
    return found.moments


@dataclass
class _Found:
    """What a layer's matrices have read.

    held  bool [windows] that are read now: which are to judge by
    """

    layer: int
    sinks: int = 0
    held: np.ndarray = field(default_factory=lambda: np.zeros(1, bool))
    moments: dict[tuple[str, ...], dict[str, Moments]] = field(default_factory=dict)

    def add(self, names: tuple[str, ...], x: np.ndarray) -> None:
        """x float32 [windows * tokens, columns] that the matrices of these names read."""
        names = tuple(name.replace("layers.0.", f"layers.{self.layer}.", 1) for name in names)
        columns = x.shape[1]
        if names not in self.moments:
            self.moments[names] = {part: Moments.empty(columns) for part in ("fit", "held")}
        windows = x.reshape(len(self.held), -1, columns)
        for part, where in (("fit", ~self.held), ("held", self.held)):
            if where.any():
                self.moments[names][part].update(windows[where].reshape(-1, columns), self.sinks)


def read(
    source: Source, model: Lowered, tokenizer: TokenizerFiles | None, calib: Text
) -> np.ndarray:
    """int64 [windows, tokens] of a text, of what the model writes, or of both.

    Raises SourceError, RecipeError if an encoder is to write.
    """
    by_itself, text = own_and_text(calib)
    if not by_itself:
        assert text is not None
        return windows_for(model, text, tokenizer)
    if model.kind != "decoder":
        raise RecipeError(f"--calib {calib}: an encoder writes no text; give it one (--calib FILE)")
    given = None if text is None else windows_for(model, text, tokenizer)
    tokens = min(WINDOW, model.config.context) if given is None else given.shape[1]
    own = written_by_itself(source, SELF_WINDOWS, tokens)
    return own if given is None else mixed(given, own)


def written_by_itself(source: Source, windows: int, tokens: int, seed: int = 0) -> np.ndarray:
    """int64 [windows, tokens] that the model (as int8) writes from random first tokens.

    LLM-QAT's data without data (Liu et al. 2023, arXiv:2305.17888): sampled as it predicts.
    """
    from ..pipeline import export

    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        export(source, path := Path(folder, "int8.edge"), quant="int8")
        model = Model(EdgeFile(path), context=tokens)
        first = random.integers(0, model.config.vocabulary, windows)
        texts = [_written(model, int(token), tokens, random) for token in first]
        model.close()
    return np.array(texts, np.int64)


def _written(model: Model, first: int, tokens: int, random: np.random.Generator) -> list[int]:
    model.rewind(0)
    ids = [first]
    while len(ids) < tokens:
        scores = model.forward(ids[-1:])[0].astype(np.float64)
        # The largest of log-probabilities plus Gumbel noise is a sample (and needs no sums).
        ids.append(int((scores + random.gumbel(size=len(scores))).argmax()))
    return ids


class _Layer:
    """A layer of a source as the runtime reads it from a file: packed in float32, as layer 0."""

    def __init__(self, source: Source, model: Lowered, layer: int):
        c = model.config
        self.path = source.name
        self.config = replace(c, layers=1, vocabulary=1)
        if model.kind == "decoder":
            own = {"layer_rope": (c.layer_rope[layer],), "layer_window": (c.layer_window[layer],)}
            self.config = replace(self.config, **own)
        self.tensors: dict[str, TensorInfo] = {}
        self._payloads: dict[str, np.ndarray] = {}
        prefix, weights = f"layers.{layer}.", Weights(source, model)
        for tensor in model.tensors:
            if tensor.name.startswith(prefix):
                values = weights.read(tensor.name)
                self._add(f"layers.0.{tensor.name.removeprefix(prefix)}", values)

    def _add(self, name: str, values: np.ndarray) -> None:
        is_matrix = values.ndim == 2
        packed = tiles.pack_floats(values, "float32") if is_matrix else values.astype("<f4")
        raw = packed.reshape(-1).view(np.uint8)
        aligned = np.zeros(len(raw) + 5 * ALIGNMENT, np.uint8)  # kernels read whole vectors
        start = -aligned.ctypes.data % ALIGNMENT
        self._payloads[name] = aligned[start:]
        self._payloads[name][: len(raw)] = raw
        form = "float32" if is_matrix else "vector"
        self.tensors[name] = TensorInfo(name, form, values.shape, 0, len(raw), "", None)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def info(self, name: str) -> TensorInfo:
        return self.tensors[name]

    def address(self, name: str) -> int:
        return int(self._payloads[name].ctypes.data)
