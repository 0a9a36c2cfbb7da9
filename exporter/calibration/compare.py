"""A file beside the float model it was made from, on windows that calibration has run.

What the float model says there is known: calibration has run its layers, and the last one's output
lies in a file; only the output matrix is missing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.format.reader import EdgeFile
from edge.runtime.model import Model
from edge.runtime.perplexity import evaluate, slice_tokens

from ..architectures import Lowered
from ..page.quality import Quality
from ..sources import Source
from ..weights import Weights


def compare(
    output: Path, source: Source, model: Lowered, ids: np.ndarray, hidden: np.ndarray
) -> Quality:
    """`hidden` float32 [windows, tokens, hidden] after the last layer, `ids` what it was fed."""
    tokens = ids.shape[1]
    outputs = slice_tokens(model.config.vocabulary)
    packed = Model(EdgeFile(output), context=tokens, outputs=outputs)
    try:
        reference = _Recorded(source, model, hidden)
        found = evaluate(packed, ids.ravel().tolist(), ctx=tokens, reference=reference)
    finally:
        packed.close()
    assert found.kl_mean is not None and found.top1_agreement is not None
    assert found.kl_standard_error is not None and found.top1_standard_error is not None
    return Quality(
        windows=len(ids),
        tokens=found.tokens,
        perplexity=found.perplexity,
        kl_mean=found.kl_mean,
        kl_standard_error=found.kl_standard_error,
        top1_agreement=found.top1_agreement,
        top1_standard_error=found.top1_standard_error,
    )


class _Recorded:
    """Stands beside a model as its reference, a window after the other."""

    def __init__(self, source: Source, model: Lowered, hidden: np.ndarray):
        weights = Weights(source, model)
        self.config = model.config
        self.outputs = slice_tokens(model.config.vocabulary)
        self._hidden, self._window, self._position = hidden, -1, 0
        name = "embedding" if model.config.tied_embedding else "output"
        self._output = weights.read(f"{name}.weight")
        self._gain = weights.read("output_norm.weight")

    def rewind(self, position: int) -> None:
        self._window, self._position = self._window + 1, position

    def forward(self, tokens: Sequence[int], outputs: int = 1) -> np.ndarray:
        """float32 [outputs, vocabulary] after the last `outputs` of the tokens."""
        self._position += len(tokens)
        x = self._hidden[self._window, self._position - outputs : self._position]
        mean = np.mean(np.square(x), axis=1, keepdims=True)
        normed = x / np.sqrt(mean + np.float32(self.config.norm_epsilon)) * self._gain
        logits: np.ndarray = normed @ self._output.T
        cap = np.float32(self.config.logits_softcap)
        return cap * np.tanh(logits / cap) if cap else logits
