"""A progress bar on stderr: only on a terminal, and only for work that lasts."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from . import quantities
from .terminal import is_terminal

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE_S = 2.0  # work that is done by then needs no bar
INTERVAL_S = 0.1


class Progress:
    """Call it with what is done and what there is; it is gone when the work is done.

        with Progress("verifying", quantities.size) as progress:
            file.verify(lambda done: progress(done, file.size))

    `quantity` turns an amount of work into text, for the rate.
    """

    def __init__(
        self,
        label: str,
        quantity: Callable[[float], str] | None = None,
        *,
        stream: TextIO | None = None,
        patience: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._label, self._quantity = label, quantity
        self._stream, self._patience, self._clock = stream or sys.stderr, patience, clock
        self._started = self._drawn = clock()
        self._width = 0  # of the line on the screen

    def __call__(self, done: float, total: float) -> None:
        now = self._clock()
        if done >= total:
            self.clear()
        elif now - self._started >= self._patience and (
            not self._width or now - self._drawn >= INTERVAL_S
        ):
            self._draw(done, total, now)

    def clear(self) -> None:
        """Remove the bar; the next piece of work starts its own clock."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=self._stream, flush=True)
        self._width, self._started = 0, self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def _draw(self, done: float, total: float, now: float) -> None:
        if not is_terminal(self._stream):
            return
        columns = shutil.get_terminal_size().columns - 1
        before, after = f"{self._label} ", f" {self._figures(done, total, now - self._started)}"
        room = max(0, min(40, columns - len(before) - len(after) - 2))
        filled = int(room * done / total)
        line = f"{before}[{'#' * filled}{'.' * (room - filled)}]{after}"[:columns]
        print("\r" + line.ljust(self._width), end="", file=self._stream, flush=True)
        self._width, self._drawn = len(line), now

    def _figures(self, done: float, total: float, elapsed: float) -> str:
        """43 %  12.1 MB/s  0:13 left"""
        parts = [f"{done / total:4.0%}" if self._quantity else f"{done:.0f}/{total:.0f}"]
        if done > 0 and elapsed > 0:
            if self._quantity:
                parts.append(f"{self._quantity(done / elapsed)}/s")
            parts.append(f"{quantities.duration(elapsed * (total - done) / done)} left")
        return "  ".join(parts)
