"""Who says how fast steps may follow one another: a governor of threads and heat."""

import time
from collections.abc import Callable
from typing import Protocol


class Threads(Protocol):
    """A team, or what has one."""

    def resize(self, threads: int) -> None:
        """Use this many from the next step on."""
        ...


class Pace(Protocol):
    """Asked before every step, and told what it took."""

    def before_step(self) -> tuple[int, float]:
        """Threads for the step, seconds to wait before it."""
        ...

    def after_step(self, tokens: int, seconds: float, cpu_s: float) -> None:
        """`cpu_s`: how long the calling thread had a core in these seconds."""
        ...


def paced(pace: Pace | None, team: Threads, tokens: int, step: Callable[[], None]) -> None:
    """Run a step of so many tokens as `pace` wants it."""
    if pace is None:
        step()
        return
    threads, pause = pace.before_step()
    team.resize(threads)
    if pause > 0:
        time.sleep(pause)
    started, cpu = time.perf_counter(), time.thread_time()
    step()
    seconds = time.perf_counter() - started
    pace.after_step(tokens, seconds, time.thread_time() - cpu)
