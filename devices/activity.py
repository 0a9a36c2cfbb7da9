"""What the runtime does at a moment, as far as the monitor cares."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Activity:
    """`tokens` have been computed since the start; `action` is what the governor did last, and why.

    changes_by   how often it changed threads, clock or pause
    """

    threads: int | None = None
    duty: float | None = None  # share of the time that is not spent pausing
    phase: str = "idle"  # prefill, decode or idle
    prefill_tokens: int = 0
    decode_tokens: int = 0
    decode_s: float = 0.0
    changes_by: Mapping[str, int] = field(default_factory=dict)
    action: str = ""

    @property
    def tokens(self) -> int:
        return self.prefill_tokens + self.decode_tokens

    @property
    def changes(self) -> int:
        return sum(self.changes_by.values())


IDLE = Activity()
