"""The big cores for threads that compute; whoever called gets its own cores back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol

from .root import Root
from .topology import big_cores, clusters, stay_on


class Placement:
    """In a `with`: the calling thread, and threads that it starts there, are kept on `cpus`.

    Those threads stay; the caller is let go at the end.  Affinity belongs to a thread on Linux.
    """

    def __init__(self, cpus: Iterable[int]):
        self.cpus = tuple(cpus)
        self._before: set[int] | None = None

    @classmethod
    def find(cls, root: Root, threads: int | None) -> Placement | None:
        """None where all usable cores are alike, where `threads` are more than the big ones, and
        where the system ignores what it is asked.
        """
        usable: set[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        big = [cpu for cpu in big_cores(clusters(root)) if cpu in usable]
        if not big or len(big) == len(usable) or (threads or 1) > len(big):
            return None
        placement = cls(big)
        obeyed = placement.hold()
        placement.release()
        return placement if obeyed else None

    @property
    def count(self) -> int:
        """Threads that make sense."""
        return len(self.cpus)

    def hold(self) -> bool:
        """Keep the calling thread on the big cores; whether the system obeyed."""
        if self._before is None:  # it is there already where an exception left a step
            before = os.sched_getaffinity(0)
            self._before = before if stay_on(self.cpus) is None else None
        return self._before is not None

    def release(self) -> None:
        """Give the calling thread its own cores back."""
        before, self._before = self._before, None
        if before is not None:
            stay_on(before)

    def __enter__(self) -> None:
        self.hold()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Pace(Protocol):
    """Asked before every step, told after it."""

    def before_step(self) -> tuple[int, float]: ...

    def after_step(self, tokens: int, seconds: float, cpu_s: float | None = None) -> None: ...


class PlacedPace:
    """A governor's pace, with the caller on the big cores for the time of each step."""

    def __init__(self, pace: Pace, placement: Placement):
        self._pace, self._placement = pace, placement

    def before_step(self) -> tuple[int, float]:
        self._placement.hold()
        return self._pace.before_step()

    def after_step(self, tokens: int, seconds: float, cpu_s: float | None = None) -> None:
        self._placement.release()
        self._pace.after_step(tokens, seconds, cpu_s)
