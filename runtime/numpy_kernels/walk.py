"""Walk a plan in Python: every op at once, all its chunks, by the team's caller alone."""

from collections.abc import Mapping

import numpy as np

from ..kernels.layout import (
    ARGUMENTS,
    CHUNKS,
    COUNTS_OUTPUTS,
    KERNEL,
    OP_WORDS,
    OPS,
    OUTPUTS,
    PLAN,
    STATE_BYTES,
    TOKENS,
    TOKENS_PER_CHUNK,
)
from .memory import Kernel, view


def walk(kernels: Mapping[int, Kernel], state: int) -> None:
    """One step of the plan in a team's state; `kernels` by the addresses that plans know."""
    fields = view(state, (STATE_BYTES // 8,), "<i8").tolist()
    plan, ops, tokens, outputs = (fields[f // 8] for f in (PLAN, OPS, TOKENS, OUTPUTS))
    with np.errstate(all="ignore"):  # as compiled kernels: infinities are no error
        for op in view(plan, (ops, OP_WORDS), "<i8").tolist():
            if chunks := _chunks(op, tokens, outputs):
                kernels[op[KERNEL]](op[ARGUMENTS:], range(chunks))


def _chunks(op: list[int], tokens: int, outputs: int) -> int:
    """A fixed number, times the blocks of tokens where an op is cut by tokens."""
    size, chunks = op[TOKENS_PER_CHUNK], op[CHUNKS]
    count = outputs if op[COUNTS_OUTPUTS] else tokens
    return chunks * -(-count // size) if size else chunks
