"""How fast this machine reads memory: what achieved GB/s are measured against."""

import time
from collections.abc import Iterable

import numpy as np

from .libraries.library import Library
from .model import available_memory
from .plan import Arena, Op, Plan
from .team import Team

BYTES = 256 * 2**20  # well beyond any cache
CHUNK_BYTES = 2**20
REPETITIONS = 5


def read_bandwidth(
    kernels: Library, threads: Iterable[int], repetitions: int = REPETITIONS
) -> dict[int, float]:
    """GB/s by number of threads: the best of several passes, in turns, over memory of its own."""
    counts = list(threads)
    arena, chunks = Arena(), buffer_bytes() // CHUNK_BYTES
    data = arena.array((chunks * CHUNK_BYTES // 4,), "<f4")
    data.fill(1)  # pages of zeros would all be one page
    sums = arena.array((chunks, 16), "<f4")
    addresses = int(data.ctypes.data), CHUNK_BYTES, int(sums.ctypes.data)
    plan = Plan([Op("read", addresses, chunks)], kernels)
    team = Team(kernels, max(counts), 0)
    seconds = dict.fromkeys(counts, float("inf"))
    for _ in range(repetitions):
        for count in counts:
            seconds[count] = min(seconds[count], _pass(team, plan, count))
    team.close()
    assert (sums.sum(axis=1, dtype=np.float64) == CHUNK_BYTES // 4).all(), "not all was read"
    return {count: data.nbytes / seconds[count] / 1e9 for count in counts}


def _pass(team: Team, plan: Plan, threads: int) -> float:
    team.resize(threads)
    started = time.perf_counter()
    team.run(plan, 1, 1)
    return time.perf_counter() - started


def buffer_bytes() -> int:
    """Less on a device that has little memory."""
    available = available_memory()
    size = BYTES if available is None else min(BYTES, available // 4)
    return max(size // CHUNK_BYTES, 1) * CHUNK_BYTES
