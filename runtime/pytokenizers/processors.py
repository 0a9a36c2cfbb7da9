"""What is done to offsets once tokens are found; ids stay, as edge adds special tokens itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

from edge.errors import FormatError

from .classes import SPACES
from .fields import Fields, steps
from .letters import SPACE
from .pieces import Span

Process = Callable[[list[str], list[Span]], list[Span]]


def processors(part: Fields | None) -> list[Process]:
    """Each gets the tokens as the vocabulary spells them, and their spans."""
    return [step for step in steps(part, KINDS, "processors") if step is not None]


def _trimming(part: Fields) -> Process | None:
    prefix = part.flag("add_prefix_space")
    if not part.flag("trim_offsets"):
        return None
    return lambda tokens, spans: [
        _trimmed(token, span, prefix and (i == 0 or span[0] == 0))
        for i, (token, span) in enumerate(zip(tokens, spans, strict=True))
    ]


def _trimmed(token: str, span: Span, prefixed: bool) -> Span:
    """The span without the blanks at its ends; one that was put before the text was none of it."""
    begin, end = span
    leading, trailing = _blanks(token), _blanks(token[::-1])
    if prefixed and leading == 1:
        leading = 0
    begin = min(begin + leading, end)
    return begin, max(end - trailing, begin) if trailing <= end else end


def _blanks(token: str) -> int:
    return sum(1 for _ in takewhile(lambda char: char == SPACE or char in SPACES, token))


def _template(part: Fields) -> None:
    """Only which special tokens are put where; the text must be there once."""
    single = part.items("single")
    if sum("Sequence" in piece.value for piece in single) != 1:
        raise FormatError(f"{part.where}.single: expected one Sequence, found {len(single)} pieces")


def _nothing(part: Fields) -> None:
    return None


KINDS: dict[str, Callable[[Fields], Process | None]] = {
    "ByteLevel": _trimming,
    "RobertaProcessing": _trimming,
    "BertProcessing": _nothing,
    "TemplateProcessing": _template,
}
