"""Unigram: of all ways to put a text together from tokens, the one with the best sum of scores."""

from __future__ import annotations

from math import inf, isfinite

from edge.errors import FormatError

from .bpe import BYTES
from .fields import Fields
from .pieces import Span
from .vocabularies import Tokens, lengths

UNKNOWN_PENALTY = 10.0  # an unknown character scores that much less than the worst token
CACHED_WORDS = 1 << 14
CACHED_LENGTH = 256


class Unigram:
    def __init__(self, model: Fields):
        entries = model.value.get("vocab")
        if not isinstance(entries, list) or not all(map(_is_entry, entries)):
            raise FormatError(f"{model.where}.vocab: expected pairs of a token and a finite score")
        self.names = [token for token, _ in entries]
        self.scores = [float(score) for _, score in entries]
        self.ids = {token: i for i, token in enumerate(self.names)}
        self.unknown = None
        if model.value.get("unk_id") is not None:
            self.unknown = model.number("unk_id", len(entries) - 1)
        self.byte_fallback = model.flag("byte_fallback", False)
        self.worst = min(self.scores, default=inf) - UNKNOWN_PENALTY
        self.lengths = lengths(self.names)
        self._words: dict[str, Tokens] = {}

    @property
    def tokens(self) -> dict[int, str]:
        return dict(enumerate(self.names))

    def tokenize(self, word: str) -> Tokens:
        found = self._words.get(word)
        if found is None:
            found = self._tokens(word, self._best(word))
            if len(word) <= CACHED_LENGTH:
                if len(self._words) >= CACHED_WORDS:
                    self._words.clear()
                self._words[word] = found
        return found

    def _best(self, word: str) -> list[Span]:
        """Viterbi: the best way to each position, found from the ones before."""
        totals = [0.0, *[-inf] * len(word)]
        comes_from: list[int | None] = [None] * (len(word) + 1)
        ids = [0] * (len(word) + 1)
        for begin, char in enumerate(word):
            total, single = totals[begin], False
            for length in self.lengths.get(char, ()):
                found = self.ids.get(word[begin : begin + length])
                end = begin + length
                if found is None or end > len(word):
                    continue
                single |= length == 1
                if comes_from[end] is None or total + self.scores[found] > totals[end]:
                    totals[end], comes_from[end] = total + self.scores[found], begin
                    ids[end] = found
            if not single:
                end = begin + 1
                if comes_from[end] is None or total + self.worst > totals[end]:
                    totals[end], comes_from[end] = total + self.worst, begin
                    ids[end] = self._unknown_id()
        return self._way_back(comes_from, ids)

    def _way_back(self, comes_from: list[int | None], ids: list[int]) -> list[Span]:
        """The spans of the best way; neighbours that are unknown become one."""
        spans: list[Span] = []
        end, joins = len(ids) - 1, False
        while end > 0:
            begin = comes_from[end]
            assert begin is not None
            unknown = ids[end] == self.unknown
            if unknown and joins:
                spans[-1] = (begin, spans[-1][1])
            else:
                spans.append((begin, end))
            end, joins = begin, unknown
        return spans[::-1]

    def _tokens(self, word: str, spans: list[Span]) -> Tokens:
        ids: list[int] = []
        where: list[Span] = []
        at = 0
        for begin, end in spans:
            text = word[begin:end]
            in_bytes = text.encode()
            found = [self.ids[text]] if text in self.ids else self._fallback(in_bytes)
            ids += found
            where += [(at, at + len(in_bytes))] * len(found)
            at += len(in_bytes)
        return Tokens(tuple(ids), tuple(where))

    def _fallback(self, in_bytes: bytes) -> list[int]:
        if self.byte_fallback:
            found = [self.ids.get(BYTES[byte]) for byte in in_bytes]
            if None not in found:
                return [i for i in found if i is not None]
        return [self._unknown_id()]

    def _unknown_id(self) -> int:
        if self.unknown is None:
            raise FormatError("the vocabulary has no token for what is unknown (unk_id)")
        return self.unknown


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and type(entry[1]) in (int, float)
        and isfinite(entry[1])
    )
