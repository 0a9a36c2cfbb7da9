"""The system's highest clock, lowered while work lasts and put back on every way out.

A child process waits on a pipe from us: when it closes without a word, because we were killed,
crashed or forgot, the child writes the old values.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from .device import Device
from .root import Root

if TYPE_CHECKING:
    from typing_extensions import Self

GUARDIAN = """
if read word; then exit 0; fi
while [ $# -gt 1 ]; do printf '%s\\n' "$2" > "$1"; shift 2; done
"""


class ClockCap:
    """`share` of the top clock that the processor may reach.  Use it in a `with`, or close it."""

    def __init__(self, files: Sequence[tuple[str, int, int]]):
        """`files`: (path of a scaling_max_freq, its kHz now, kHz of the top clock)."""
        self._files = list(files)
        self.share = 1.0
        self._guardian: subprocess.Popen[bytes] | None = None

    @classmethod
    def find(cls, root: Root, device: Device) -> ClockCap | None:
        """None where the clock cannot be set: the files belong to root."""
        files = []
        for policy in (p for cluster in device.clusters for p in cluster.policies):
            path = str(root.folder / policy / "scaling_max_freq")
            now = root.number_or_none(f"{policy}/scaling_max_freq")
            top = root.number_or_none(f"{policy}/cpuinfo_max_freq")
            if not now or not top or not os.access(path, os.W_OK):
                return None
            files.append((path, int(now), int(top)))
        return cls(files) if files else None

    def set(self, share: float) -> str | None:
        """Why it failed, or None.  1 gives back what was set before us."""
        if self._guardian is None and share < 1:
            self._guardian = self._watch()
        try:
            for path, before, top in self._files:
                _write(path, before if share >= 1 else min(before, round(top * share)))
        except OSError as error:
            self._restore()
            return f"{error.filename}: {error.strerror}"
        self.share = share
        return None

    def close(self) -> None:
        """Put the old values back and let the guardian go."""
        if self._guardian is None:
            return
        self._restore()
        assert self._guardian.stdin is not None
        try:
            self._guardian.stdin.write(b"done\n")
            self._guardian.stdin.close()
        except BrokenPipeError:  # somebody ended it
            pass
        self._guardian.wait()
        self._guardian = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _watch(self) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C in the terminal is not for it."""
        pairs = [text for path, before, _ in self._files for text in (path, str(before))]
        return subprocess.Popen(
            ["sh", "-c", GUARDIAN, "edge-clock-guardian", *pairs],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def _restore(self) -> None:
        self.share = 1.0
        for path, before, _ in self._files:
            try:
                _write(path, before)
            except OSError:
                pass  # a core that went away takes its limit with it


def _write(path: str, khz: int) -> None:
    with open(path, "w") as file:
        file.write(f"{khz}\n")
