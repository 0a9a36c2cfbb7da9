"""Threads that walk plans together: asleep between steps, in native code while one runs."""

import ctypes
import itertools
import platform
import threading
import weakref
from typing import Any

import numpy as np

from .kernels.layout import (
    ACTIVE,
    EVERYBODY,
    FUTEX,
    FUTEX_WAKE,
    GENERATION,
    OPS,
    OUTPUTS,
    PLAN,
    SCRATCH,
    SCRATCH_BYTES,
    STATE_BYTES,
    STOP,
    SYSCALL,
    TOKENS,
    YIELD,
)
from .libraries.library import Function, Library
from .plan import Arena, Plan

FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98}
_generations = itertools.count(1, 2)  # of all teams: plans may change hands


class Team:
    """`threads` threads: the caller of `run` and helpers that sleep until it is called.

    `scratch_bytes` is memory of its own for each thread.  Not to be used by two threads at once.
    """

    def __init__(self, library: Library, threads: int, scratch_bytes: int):
        library.load(["step", "work"])
        self.threads = threads
        arena = Arena()
        self._memory: list[object] = [arena]  # what helpers may touch lives as long as they do
        self._state = arena.array((STATE_BYTES // 8,), "<i8")
        self._address = int(self._state.ctypes.data)
        scratch = arena.allocate(threads * scratch_bytes)
        self._set(SCRATCH, scratch)
        self._set(SCRATCH_BYTES, scratch_bytes)
        self._set(ACTIVE, threads)
        self._set_system_calls()
        self._step, work = library.function("step"), library.function("work")
        helpers = [
            threading.Thread(
                target=_help,
                args=(work, self._memory, self._address, i),
                daemon=True,
                name=f"edge-{i}",
            )
            for i in range(1, threads)
        ]
        for helper in helpers:
            helper.start()
        self._finalizer = weakref.finalize(self, _stop, arena, self._state, helpers)

    def keep(self, *objects: object) -> None:
        """Keep what plans point into while a helper lives: one may be a step behind."""
        self._memory.extend(objects)

    def run(self, plan: Plan, tokens: int, outputs: int) -> None:
        """One step: every op of the plan for `tokens` tokens, `outputs` of them with logits."""
        self._set(PLAN, plan.address)
        self._set(OPS, len(plan.ops))
        self._set(TOKENS, tokens)
        self._set(OUTPUTS, outputs)
        self._step(self._address, next(_generations), 0)

    def resize(self, threads: int) -> None:
        """Use this many of the team's threads from the next step on."""
        self._set(ACTIVE, max(1, min(threads, self.threads)))

    def close(self) -> None:
        """End the helpers; `run` must not be called again."""
        self._finalizer()

    def _set(self, field: int, value: int) -> None:
        self._state[field // 8] = value

    def _set_system_calls(self) -> None:
        libc = ctypes.CDLL(None)
        self._set(YIELD, _address(libc.sched_yield))
        number = FUTEX_NUMBERS.get(platform.machine(), 0)
        if platform.system() == "Linux" and number:
            self._set(SYSCALL, _address(libc.syscall))
            self._set(FUTEX, number)


def _help(work: Function, memory: list[object], state: int, thread: int) -> None:
    work(state, 0, thread)


def _stop(memory: Arena, state: np.ndarray, helpers: list[threading.Thread]) -> None:
    state[STOP // 8] = 1
    if state[SYSCALL // 8]:
        syscall = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 5)(int(state[SYSCALL // 8]))
        word = state.ctypes.data + GENERATION
        state[GENERATION // 8] += 2  # whoever is about to sleep does not
        syscall(int(state[FUTEX // 8]), word, FUTEX_WAKE, EVERYBODY, 0)
    for helper in helpers:
        helper.join(timeout=1)


def _address(function: Any) -> int:
    value = ctypes.cast(function, ctypes.c_void_p).value
    assert value is not None
    return value
