"""What comes from stdin, and what goes to a terminal: faint notes where colours are wanted, no control characters."""

import os
import sys
from typing import TextIO

_CONTROLS = {c: None for c in (*range(32), 127, *range(128, 160)) if chr(c) not in "\n\t"}


def is_terminal(stream: TextIO) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


def piped() -> str:
    """All of stdin as text; nothing if whoever started us closed it."""
    if sys.stdin is None:
        return ""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    return sys.stdin.read()


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(_faint(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text as a terminal may see it: a model must not be able to steer the cursor."""
    return text.translate(_CONTROLS) if is_terminal(sys.stdout) else text


def _faint(text: str) -> str:
    """See no-color.org."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not is_terminal(sys.stderr) else f"\x1b[2m{text}\x1b[0m"
