"""What cuts a text: a regular expression or a literal, found as `tokenizers` finds it."""

from __future__ import annotations

import re
from functools import lru_cache

from edge.errors import FormatError

from .classes import ASCII, BASIC, LAST
from .expressions import translated
from .fields import Fields
from .pieces import Cut, Span

BEYOND_BASIC = re.compile("[\U00010000-\U0010ffff]")


class Pattern:
    """A regular expression, compiled for the characters that a text has.

    Ten times faster than one expression for all: `re` looks up the first 65,536 characters in a
    bitmap, but tries the hundreds of ranges of a class beyond them one after the other.
    """

    def __init__(self, expression: str):
        self.expression = expression
        self.matches_nothing = bool(_compiled(expression, ASCII).match(""))

    def spans(self, text: str) -> list[Span]:
        """Begin and end of every match."""
        if text.isascii():
            limit = ASCII
        else:
            limit = LAST if BEYOND_BASIC.search(text) else BASIC
        found = [match.span() for match in _compiled(self.expression, limit).finditer(text)]
        return _without_empty(found) if self.matches_nothing else found

    def cuts(self, text: str) -> list[Cut]:
        """The whole text as matches and what lies between them."""
        cuts, last = [], 0
        for begin, end in self.spans(text):
            if last < begin:
                cuts.append((last, begin, False))
            cuts.append((begin, end, True))
            last = end
        if last < len(text):
            cuts.append((last, len(text), False))
        return cuts


@lru_cache(maxsize=64)
def _compiled(expression: str, limit: int) -> re.Pattern[str]:
    return re.compile(translated(expression, limit))


def _without_empty(spans: list[Span]) -> list[Span]:
    """Oniguruma finds no empty match where one has just ended; Python does."""
    return [
        (begin, end)
        for (begin, end), (_, before) in zip(spans, [(0, -1), *spans], strict=False)
        if begin != end or begin != before
    ]


def pattern_of(part: Fields) -> Pattern:
    """The field `pattern`: {"String": ..} or {"Regex": ..}."""
    inner = part.inner("pattern")
    if inner is None or len(inner.value) != 1:
        raise part.error("pattern", "a String or a Regex")
    if "String" in inner.value:
        return Pattern(_escaped(inner.text("String")))
    try:
        return Pattern(inner.text("Regex"))
    except (re.error, RecursionError, OverflowError) as error:
        raise FormatError(f"{inner.where}.Regex: {error}") from None
    except FormatError as error:
        raise FormatError(f"{inner.where}: {error}") from None


def _escaped(text: str) -> str:
    return "".join(f"\\x{{{ord(char):x}}}" for char in text)
