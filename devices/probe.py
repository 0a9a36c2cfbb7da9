"""Finding the thread knee: how fast each number of threads is, a few tokens each."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable

WARM = 3  # tokens before all: pages are mapped, clocks rise
ROUNDS, RECHECK_ROUNDS = 4, 2  # in turns: whatever drifts meanwhile is in all figures
FIRST, COUNTED = 1, 2  # tokens of a turn: threads wake up in the first
NO_HOPE = 0.6  # of the best speed: still fewer threads are slower still
AT_WORK = 0.9  # of a step's time that its caller's thread has a core, where nobody else wants it
DISTURBED, UNSTEADY = 0.25, 0.15  # share of disturbed steps, spread of the others: not to be kept


class Probe:
    """Rounds over numbers of threads; `threads` is what the next token is to be computed with."""

    def __init__(self, counts: Iterable[int], rounds: int = ROUNDS):
        self._counts, self._rounds = sorted(counts, reverse=True), rounds
        self._most = self._counts[0]
        self._turns = deque(self._counts)
        self._seconds: dict[int, list[float]] = {n: [] for n in self._counts}
        self._calm: dict[int, list[float]] = {n: [] for n in self._counts}
        self._tokens = -WARM  # of this turn

    @property
    def threads(self) -> int:
        return self._turns[0] if self._turns else 0

    @property
    def done(self) -> bool:
        return not self._turns

    def take(self, seconds: float, cpu_s: float | None = None) -> None:
        """How long a token took, and how much of that its thread had a core; None: nobody knows."""
        self._tokens += 1
        if self._tokens > FIRST:
            self._seconds[self.threads].append(seconds)
            if cpu_s is None or cpu_s >= AT_WORK * seconds:
                self._calm[self.threads].append(seconds)
        if self._tokens == FIRST + COUNTED:
            self._next_turn()

    def _next_turn(self) -> None:
        self._tokens = 0
        last = self._turns.popleft()
        if self._speed(last) < NO_HOPE * max(map(self._speed, self._probed())):
            self._counts = [n for n in self._counts if n > last]
            self._turns.clear()
        if not self._turns and self._rounds > 1:
            self._rounds -= 1
            self._turns.extend(self._counts)

    def _probed(self) -> list[int]:
        return [n for n, seconds in self._seconds.items() if seconds]

    def _speed(self, threads: int) -> float:
        return 1 / statistics.median(self._calm[threads] or self._seconds[threads])

    @property
    def speeds(self) -> dict[int, float]:
        """Tokens a second by threads; what was not worth trying is in proportion."""
        found = {n: self._speed(n) for n in self._probed()}
        least = min(found)
        skipped = (n for n in self._seconds if n < least)
        return found | {n: found[least] * n / least for n in skipped}

    @property
    def contended(self) -> bool:
        """Whether somebody else wanted the cores: good enough for now, not to be remembered."""
        taken = sum(map(len, self._seconds.values()))
        calm = sum(map(len, self._calm.values()))
        if calm < (1 - DISTURBED) * taken:
            return True
        of_all = sorted(self._calm[self._most] or self._seconds[self._most])
        spread = of_all[3 * len(of_all) // 4] - of_all[len(of_all) // 4]
        return spread > UNSTEADY * statistics.median(of_all)


def agrees(found: dict[int, float], remembered: dict[int, float]) -> bool:
    """Whether two numbers of threads compare as they did, to a tenth."""
    few, many = min(found), max(found)
    then, now = remembered[few] / remembered[many], found[few] / found[many]
    return abs(now - then) <= 0.1 * then
