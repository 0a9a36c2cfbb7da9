"""Finding the thread knee: how fast each number of threads is, a few tokens each."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

WARM, COUNTED = 3, 10  # tokens: caches and clocks settle first
NO_HOPE = 0.6  # of the best speed: still fewer threads are slower still


class Probe:
    """From all threads down; `threads` is what the next token is to be computed with."""

    def __init__(self, most: int):
        self.threads, self.speeds = most, dict[int, float]()
        self._seconds: list[float] = []

    @property
    def done(self) -> bool:
        return self.threads == 0

    def take(self, seconds: float) -> None:
        """How long a token took."""
        self._seconds.append(seconds)
        if len(self._seconds) < WARM + COUNTED:
            return
        speed = 1 / statistics.median(self._seconds[WARM:])
        self.speeds[self.threads], self._seconds = speed, []
        if speed < NO_HOPE * max(self.speeds.values()):
            for fewer in range(1, self.threads):
                self.speeds[fewer] = speed * fewer / self.threads
            self.threads = 0
        else:
            self.threads -= 1


class Memory:
    """Knees that were found, by model and device, in a JSON file.  A broken file is an empty one."""

    def __init__(self, path: Path):
        self._path = path

    def recall(self, key: str, most: int) -> dict[int, float] | None:
        """Speeds by threads for a team of `most`."""
        speeds = self._all().get(f"{key} {most}")
        try:
            found = {int(n): float(speed) for n, speed in speeds.items()} if speeds else {}
        except (AttributeError, TypeError, ValueError):
            return None
        whole = set(found) == set(range(1, most + 1)) and all(v > 0 for v in found.values())
        return found if whole else None

    def remember(self, key: str, most: int, speeds: dict[int, float]) -> None:
        """A folder that cannot be written costs the next run a probe, nothing else."""
        everything = self._all() | {f"{key} {most}": speeds}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self._path.with_suffix(".part")
            partial.write_text(json.dumps(everything, indent=1))
            partial.replace(self._path)
        except OSError:
            pass

    def _all(self) -> dict[str, dict[str, float]]:
        try:
            content = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
