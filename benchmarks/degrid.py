"""A source whose weights leave the grid they were once quantized on, the function unchanged.

A model that comes as Q4_1 already lies on a 4-bit grid, which favours methods that find it again.
Random factors of channels move from each tensor to the next (edge.exporter.transforms.folds), so
that what is left is a float model of the same outputs whose weights lie on no grid.
"""

import numpy as np

from edge.exporter.architectures import lower
from edge.exporter.sources import Source
from edge.exporter.transforms.folds import folds
from edge.exporter.weights import Weights

SPREAD = 0.25  # of the factors' logarithms


class Degridded:
    """A Source with the tensors of `source`, one to one (no fused or padded ones)."""

    def __init__(self, source: Source, seed: int = 0) -> None:
        self._source = source
        self._weights = Weights(source, model := lower(source))
        self._ours = {t.source: t.name for t in model.tensors}
        random = np.random.default_rng(seed)
        for layer in range(model.config.layers):
            for fold in folds(self._weights, layer):
                channels = len(self._weights.read(fold.writers[0]))
                factors = random.lognormal(0, SPREAD, channels).astype(np.float32)
                fold.apply(self._weights, factors)
        self.name, self.config = f"{source.name} (off its grid)", source.config
        self.generation = source.generation
        self.norms_are_folded = source.norms_are_folded

    def digest(self) -> str:
        return self._source.digest()

    def names(self):
        return self._source.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._source.shape(name)

    def read(self, name: str) -> np.ndarray:
        return (
            self._weights.read(self._ours[name]) if name in self._ours else self._source.read(name)
        )

    def kept(self, name: str) -> None:
        return None

    def tokenizer(self):
        return self._source.tokenizer()
