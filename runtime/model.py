"""A model in memory: a mapped file, its plan, its cache and the team that runs it."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from edge.errors import DoesNotFit, EdgeError
from edge.format.config import DecoderConfig
from edge.format.reader import EdgeFile
from edge.format.spec import PAYLOADS

from .kv_cache import KvCache, cache_shape
from .libraries.choice import library
from .libraries.library import Library
from .lowering.decoder import lower, scratch_bytes
from .lowering.lowering import FIRST_OUTPUT, POSITION, TOKENS
from .pace import Pace, paced
from .team import Team

DEFAULT_CONTEXT = 4096
DEFAULT_BATCH = 256  # tokens of a prefill step


class Model:
    """A decoder ready to run.  `position` tokens are in its cache.

    threads   defaults to the cores this process may use
    context   tokens the cache has room for; defaults to the model's own, at most 4096
    kv        kind of cache: float16, int8, int4 or float32; defaults to what the file recommends,
              else float32 for a model in float32 (the reference mode), else float16
    batch     tokens of one prefill step
    outputs   most tokens of a step whose logits are wanted (evaluation wants many)

    Raises FormatError, UnsupportedModel, DoesNotFit; EdgeError for a number below 1.
    """

    def __init__(
        self,
        file: EdgeFile,
        *,
        threads: int | None = None,
        context: int | None = None,
        kv: str | None = None,
        batch: int = DEFAULT_BATCH,
        outputs: int = 1,
        kernels: Library | None = None,
    ):
        check_counts(threads=threads, context=context, batch=batch, outputs=outputs)
        self.file = file
        self.config: DecoderConfig = file.config
        self.context = context or min(self.config.context, DEFAULT_CONTEXT)
        self.threads = threads or usable_cores()
        self.batch = min(batch, self.context)
        shape = cache_shape(self.config, kv or _default_kv(file), self.context)
        working = (
            self.threads * scratch_bytes(self.context)
            + 4 * self.context * sum(rope.dims for rope in self.config.ropes)
        )  # fmt: skip
        check_memory(
            {"weights": file.size, "KV cache": shape.nbytes, "working memory": working},
            "choose a smaller context (-c), --kv int8, or a smaller model",
        )
        self.cache = KvCache(shape)
        kernels = kernels or library()
        self._program = lower(file, self.cache, kernels, self.threads, self.batch, outputs)
        self.team = Team(kernels, self.threads, scratch_bytes(self.context))
        self.team.keep(file, self.cache, self._program)
        self.outputs = outputs
        self.position = 0
        self.pace: Pace | None = None

    @property
    def arena_bytes(self) -> int:
        return self._program.buffers.arena.nbytes

    def forward(
        self,
        tokens: Sequence[int],
        outputs: int = 1,
        progress: Callable[[int], None] = lambda done: None,
    ) -> np.ndarray:
        """Append tokens; float32 [outputs, vocabulary]: the logits after the last `outputs` tokens.

        The array is overwritten by the next call; `progress` gets tokens done after every step.
        Raises DoesNotFit when the context is full.
        """
        count = len(tokens)
        ids = np.asarray(tokens, np.int64)
        self.file.check_size()
        self._check(ids, outputs)
        for start in range(0, count, self.batch):
            part = ids[start : start + self.batch]
            wanted = min(outputs, len(part)) if start + self.batch >= count else 0
            self._step(part, wanted)
            progress(start + len(part))
        return self._program.logits[:outputs]

    def rewind(self, position: int) -> None:
        """Forget all tokens from `position` on."""
        self.position = max(0, min(position, self.position))

    def close(self) -> None:
        self.team.close()

    def _step(self, ids: np.ndarray, outputs: int) -> None:
        paced(self.pace, self.team, len(ids), lambda: self._run(ids, outputs))

    def _run(self, ids: np.ndarray, outputs: int) -> None:
        program, n = self._program, len(ids)
        program.ids[:n] = ids
        program.registers[TOKENS] = n
        program.registers[POSITION] = self.position
        program.registers[FIRST_OUTPUT] = n - outputs
        for table in program.ropes:
            table.fill(self.position, n)
        self.team.run(program.plan, n, outputs)
        self.position += n

    def _check(self, ids: np.ndarray, outputs: int) -> None:
        """Kernels trust what this lets through."""
        if not len(ids):
            raise EdgeError("no tokens to run; the prompt is empty")
        if self.position + len(ids) > self.context:
            raise DoesNotFit(
                f"{self.position + len(ids)} tokens do not fit into a context of {self.context}; "
                "shorten the prompt or ask for a larger one with -c"
            )
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.config.vocabulary:
            wrong = low if low < 0 else high
            raise EdgeError(f"token id {wrong}, expected 0..{self.config.vocabulary - 1}")
        last = len(ids) % self.batch or self.batch
        if not 1 <= outputs <= min(self.outputs, last):
            raise EdgeError(f"logits of {outputs} tokens, expected 1..{min(self.outputs, last)}")


def _default_kv(file: EdgeFile) -> str:
    wanted = file.document.get("kv")
    if wanted is not None:  # by the recipe; cache_shape refuses what there is not
        return str(wanted)
    reference = all(i.format in ("float32", *PAYLOADS) for i in file.tensors.values())
    return "float32" if reference else "float16"


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that can be had without swapping (Linux); None elsewhere."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise EdgeError(f"{name} {count}, expected at least 1")


def check_memory(needed: dict[str, int], advice: str) -> None:
    """Raises DoesNotFit if these bytes are more than there are."""
    available = available_memory()
    if available is not None and sum(needed.values()) > available:
        parts = ", ".join(f"{n / 2**20:.0f} MiB of {what}" for what, n in needed.items())
        raise DoesNotFit(
            f"the model needs {parts}; {available / 2**20:.0f} MiB of memory are available; {advice}"
        )
