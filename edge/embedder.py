"""A sentence encoder ready to embed: what `edge.load` returns for one, and `edge embed` uses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from edge.devices.placement import Placement
from edge.devices.policy import Targets
from edge.devices.root import Root
from edge.errors import EdgeError
from edge.opening import open_as
from edge.runtime.encoder import Encoder
from edge.runtime.libraries.choice import library
from edge.runtime.tokenizer import Tokenizer
from edge.watch import Note, Watch

if TYPE_CHECKING:
    from typing_extensions import Self

Progress = Callable[[int, int], None]  # texts done, texts


class Embedder:
    """A sentence encoder with its tokenizer; close it, or use it in a `with`.

        with edge.load("minilm.edge") as encoder:
            similarity = (v := encoder.embed(["a cat", "a kitten"])) @ v.T

    Not for two threads at once.
    """

    def __init__(self, encoder: Encoder, watch: Watch | None = None, note: Note | None = None):
        self.encoder = encoder
        self.watch = watch or Watch(encoder)
        self.tokenizer = Tokenizer.of(encoder.file)
        self.load_s = 0.0
        self._note = note or (lambda text: None)

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return self.encoder.config.hidden

    def tokenize(self, texts: Sequence[str | list[int]]) -> list[list[int]]:
        """Ids of texts as the model reads them, special ones around each; ids stay as they are.

        A text beyond what the model reads is cut, and noted.  Raises EdgeError for what is no text.
        """
        if isinstance(texts, str):
            raise EdgeError("expected a list of texts, found one text; put it into a list")
        return [self._ids(text, number) for number, text in enumerate(texts, 1)]

    def embed(
        self,
        texts: Sequence[str | list[int]],
        progress: Progress = lambda done, total: None,
    ) -> np.ndarray:
        """float32 [texts, dimension] of texts, or of the ids that `tokenize` gave.

        Vectors are of unit length if the model says so.
        """
        ids = self.tokenize(texts)
        self.watch.admit()
        self.watch.start()
        try:
            return self.encoder.embed(ids, lambda done: progress(done, len(ids)))
        finally:
            self.watch.stop()

    def close(self) -> None:
        self.watch.close()
        self.encoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ids(self, text: str | list[int], number: int) -> list[int]:
        if isinstance(text, list):
            return text
        if not isinstance(text, str):
            raise EdgeError(f"text {number}: expected a string, found {type(text).__name__}")
        most = self.encoder.config.context
        ids, whole = self.tokenizer.encode_whole(text, most)
        if whole > most:
            self._note(f"text {number}: {whole} tokens, the model reads the first {most}")
        return ids


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    targets: Targets | None = None,
    note: Note = lambda text: None,
    compiling: Progress | None = None,
) -> Embedder:
    """Open an encoder; settings as in `edge.session.load`.  `note` also hears of texts that are cut.

    Raises FormatError, UnsupportedModel, DoesNotFit, DeviceError, OSError.
    """
    started = time.perf_counter()
    placement = Placement.find(Root(), threads)
    with placement or nullcontext():
        count = placement.count if placement else None
        encoder = load_encoder(path, threads=threads or count, compiling=compiling)
    try:
        embedder = Embedder(encoder, Watch(encoder, targets, note, placement=placement), note)
    except BaseException:
        encoder.close()
        raise
    embedder.load_s = time.perf_counter() - started
    return embedder


def load_encoder(
    path: str | Path, *, threads: int | None = None, compiling: Progress | None = None
) -> Encoder:
    """The encoder alone."""
    file, kernels = open_as(path, "encoder"), library()
    with kernels.telling(compiling):
        return Encoder(file, threads=threads, kernels=kernels)
