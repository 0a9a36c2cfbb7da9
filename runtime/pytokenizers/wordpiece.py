"""WordPiece: the longest token that begins a word, then the longest that continues it."""

from __future__ import annotations

from functools import cached_property

from edge.errors import FormatError

from .fields import Fields
from .pieces import Span
from .vocabularies import Tokens, vocabulary

MAX_WORD = 1 << 12  # characters: what a longer one costs grows with the square


class WordPiece:
    def __init__(self, model: Fields):
        self.ids = vocabulary(model)
        self.unknown = model.text("unk_token")
        self.prefix = model.text("continuing_subword_prefix")
        self.longest = model.number("max_input_chars_per_word", MAX_WORD)

    @cached_property
    def tokens(self) -> dict[int, str]:
        return {i: token for token, i in self.ids.items()}

    def tokenize(self, word: str) -> Tokens:
        spans = self._spans(word) if len(word) <= self.longest else None
        if spans is None:
            if self.unknown not in self.ids:
                raise FormatError(f"unk_token {self.unknown!r:.60} is not in the vocabulary")
            return Tokens((self.ids[self.unknown],), ((0, len(word.encode())),))
        ids = tuple(self.ids[self._spelt(word, *span)] for span in spans)
        return Tokens(ids, tuple(_in_bytes(word, span) for span in spans))

    def _spans(self, word: str) -> list[Span] | None:
        """In characters; None if the word cannot be put together."""
        spans, begin = [], 0
        while begin < len(word):
            ends = range(len(word), begin, -1)
            end = next((end for end in ends if self._spelt(word, begin, end) in self.ids), None)
            if end is None:
                return None
            spans.append((begin, end))
            begin = end
        return spans

    def _spelt(self, word: str, begin: int, end: int) -> str:
        return (self.prefix if begin else "") + word[begin:end]


def _in_bytes(word: str, span: Span) -> Span:
    begin = len(word[: span[0]].encode())
    return begin, begin + len(word[slice(*span)].encode())
