"""A sentence encoder in memory: a mapped file, its plan, and the team that runs it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edge.errors import EdgeError
from edge.format.encoder_config import EncoderConfig
from edge.format.reader import EdgeFile

from .libraries.choice import library
from .libraries.library import Library
from .lowering.encoder import lower, scratch_bytes
from .lowering.lowering import TOKENS
from .model import check_counts, check_memory, usable_cores
from .pace import Pace, paced
from .pooling import pooled
from .team import Team

STEP_TOKENS = 512  # of one step, if no text is longer

Ids = Sequence[int]


def step_tokens(config: EncoderConfig) -> int:
    """Tokens of a step if nothing else is wanted."""
    return max(STEP_TOKENS, config.context)


class Encoder:
    """An encoder ready to run.

    threads   defaults to the cores this process may use
    tokens    of one step, texts together; at least what the longest text has (`step_tokens`)

    Raises FormatError, UnsupportedModel, DoesNotFit; EdgeError for a number below 1.
    """

    def __init__(
        self,
        file: EdgeFile,
        *,
        threads: int | None = None,
        tokens: int | None = None,
        kernels: Library | None = None,
    ):
        check_counts(threads=threads, tokens=tokens)
        self.file = file
        self.config: EncoderConfig = file.config
        self.threads = threads or usable_cores()
        self.tokens = max(tokens or step_tokens(self.config), self.config.context)
        scratch = scratch_bytes(self.config)
        check_memory(
            {"weights": file.size, "working memory": self.threads * scratch},
            "use fewer threads or a smaller model",
        )
        kernels = kernels or library()
        self._program = lower(file, kernels, self.threads, self.tokens)
        self.team = Team(kernels, self.threads, scratch)
        self.team.keep(file, self._program)
        self.pace: Pace | None = None

    @property
    def arena_bytes(self) -> int:
        return self._program.arena.nbytes

    def embed(
        self, texts: Sequence[Ids], progress: Callable[[int], None] = lambda done: None
    ) -> np.ndarray:
        """float32 [texts, hidden]: a vector a text, pooled as the model says.

        `texts` are ids with the special ones around them; `progress` gets texts done.
        """
        self.file.check_size()
        checked = [self._checked(ids, number) for number, ids in enumerate(texts, 1)]
        vectors = np.empty((len(texts), self.config.hidden), np.float32)
        for first, last in self._steps(checked):
            vectors[first:last] = self._step(checked[first:last])
            progress(last)
        return vectors

    def close(self) -> None:
        self.team.close()

    def _steps(self, texts: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
        """Runs of texts that fit into a step, as (first, end)."""
        first = tokens = 0
        for i, ids in enumerate(texts):
            if tokens + len(ids) > self.tokens:
                yield first, i
                first, tokens = i, 0
            tokens += len(ids)
        if texts:
            yield first, len(texts)

    def _step(self, texts: Sequence[np.ndarray]) -> np.ndarray:
        program, count = self._program, len(texts)
        tokens = 0
        for i, ids in enumerate(texts):
            end = tokens + len(ids)
            program.starts[i] = tokens
            program.ids[tokens:end] = ids
            program.positions[tokens:end] = np.arange(len(ids))
            tokens = end
        program.starts[count] = program.registers[TOKENS] = tokens
        paced(self.pace, self.team, tokens, lambda: self.team.run(program.plan, tokens, count))
        c = self.config
        return pooled(program.hidden[:tokens], program.starts[:count], c.pooling, c.normalize)

    def _checked(self, ids: Ids, number: int) -> np.ndarray:
        """Integers [tokens]; kernels trust what this lets through."""
        c, found = self.config, np.asarray(ids)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise EdgeError(f"text {number}: expected token ids, found {ids!r:.60}")
        if not 1 <= len(found) <= c.context:
            raise EdgeError(
                f"text {number} has {len(found)} tokens, the model reads 1..{c.context}; cut it"
            )
        low, high = int(found.min()), int(found.max())
        if low < 0 or high >= c.vocabulary:
            wrong = low if low < 0 else high
            raise EdgeError(f"text {number}: token id {wrong}, expected 0..{c.vocabulary - 1}")
        return found
