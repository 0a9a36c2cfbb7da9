"""A part of the text on its way to the model, which knows where its characters came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

Span = tuple[int, int]  # begin and end in the text that was given
Cut = tuple[int, int, bool]  # begin and end in a piece, and whether the pattern matched there
Spans = list[Span]


class Piece:
    """Text as normalized so far, and the span of the given text behind each character.

    Most texts are encoded for their ids alone, so spans are worked out when first asked for.
    """

    __slots__ = ("_spans", "text")

    def __init__(self, text: str, spans: Spans | Callable[[], Spans]):
        self.text = text
        self._spans = spans

    @classmethod
    def of(cls, text: str) -> Piece:
        return cls(text, lambda: [(i, i + 1) for i in range(len(text))])

    @property
    def spans(self) -> Spans:
        if callable(self._spans):
            self._spans = self._spans()
        return self._spans

    def slice(self, begin: int, end: int) -> Piece:
        if begin == 0 and end == len(self.text):
            return self
        return Piece(self.text[begin:end], lambda: self.spans[begin:end])

    def changed(self, text: str, changes: Callable[[], Iterable[int]]) -> Piece:
        """This piece with another text.

        A change for each new character, as `tokenizers` counts them: 1 is inserted behind the
        one before; 0 or less stands for one old character and that many removed behind it.
        """
        return Piece(text, lambda: moved(self.spans, changes()))

    def prepended(self, prefix: str) -> Piece:
        """The prefix belongs to the first character; nothing is put before an empty piece."""
        if not self.text or not prefix:
            return self
        return Piece(prefix + self.text, lambda: [self.spans[0]] * len(prefix) + self.spans)

    def replaced(self, matches: Sequence[Span], by: str) -> Piece:
        """Every match replaced; what stands for it belongs to the match's last character."""
        if not matches:
            return self
        text, last = [], 0
        for begin, end in matches:
            text += [self.text[last:begin], by]
            last = end
        text.append(self.text[last:])
        return Piece("".join(text), lambda: self._spans_replaced(matches, len(by)))

    def _spans_replaced(self, matches: Sequence[Span], length: int) -> Spans:
        old, new, last = self.spans, [], 0
        for begin, end in matches:
            new += old[last:begin] + [old[end - 1]] * length
            last = end
        return new + old[last:]

    def without(self, gone: re.Pattern[str]) -> Piece:
        """This piece without the characters that match."""
        if not gone.search(self.text):
            return self
        kept = [i for i, char in enumerate(self.text) if not gone.match(char)]
        return Piece("".join([self.text[i] for i in kept]), lambda: [self.spans[i] for i in kept])

    def mapped(self, each: Callable[[str], str]) -> Piece:
        """Every character replaced by one or more."""
        new = [each(char) for char in self.text]
        text = "".join(new)
        if text == self.text:
            return self
        return Piece(text, lambda: spread(self.spans, map(len, new)))


def spread(spans: Spans, counts: Iterable[int]) -> Spans:
    """Each span as often as it counts."""
    return [span for span, count in zip(spans, counts, strict=True) for _ in range(count)]


def moved(old: Spans, changes: Iterable[int]) -> Spans:
    new, at = [], 0
    for change in changes:
        if change > 0:
            new.append(old[at - 1] if at else (0, 0))
        else:
            new.append(old[at])
            at += 1 - change
    return new


def isolated(cuts: Iterable[Cut]) -> list[Span]:
    return [(begin, end) for begin, end, _ in cuts]


def removed(cuts: Iterable[Cut]) -> list[Span]:
    return [(begin, end) for begin, end, matched in cuts if not matched]


def contiguous(cuts: Iterable[Cut]) -> list[Span]:
    """Matches beside each other become one piece."""
    return _joined(cuts, lambda matched, before: matched == before)


def merged_with_previous(cuts: Iterable[Cut]) -> list[Span]:
    return _joined(cuts, lambda matched, before: matched and not before)


def merged_with_next(cuts: Iterable[Cut]) -> list[Span]:
    mirrored = [(-end, -begin, matched) for begin, end, matched in reversed(list(cuts))]
    joined = _joined(mirrored, lambda matched, before: matched and not before)
    return [(-end, -begin) for begin, end in reversed(joined)]


def _joined(cuts: Iterable[Cut], join: Callable[[bool, bool], bool]) -> list[Span]:
    spans: list[Span] = []
    before = False
    for begin, end, matched in cuts:
        if spans and join(matched, before):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
        before = matched
    return spans


BEHAVIORS = {
    "Removed": removed,
    "Isolated": isolated,
    "Contiguous": contiguous,
    "MergedWithPrevious": merged_with_previous,
    "MergedWithNext": merged_with_next,
}
