"""Tokens beside the model's vocabulary, cut out of a text before the model sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.errors import FormatError

from .classes import SPACES, expression, ranges
from .fields import Fields
from .pieces import Piece
from .vocabularies import MAX_ID, lengths

BLANKS = re.compile(f"[{SPACES}]*")


@dataclass(frozen=True)
class AddedToken:
    """
    special      no text but an instruction: decoding leaves it out
    normalized   found in the text after normalization, else before
    single_word  not found inside a word
    lstrip       takes the blanks before it along; rstrip those behind
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = False

    @classmethod
    def of(cls, part: Fields) -> AddedToken:
        part.number("id", MAX_ID)
        names = ("single_word", "lstrip", "rstrip", "normalized", "special")
        return cls(part.text("content"), *(part.flag(name) for name in names))


@dataclass(frozen=True)
class Found:
    """An added token in the text."""

    id: int
    piece: Piece


class AddedTokens:
    """As in `tokenizers`, a token that the model has keeps that id; others are counted on."""

    def __init__(
        self,
        parts: list[Fields],
        ids: dict[str, int],
        normalize: Callable[[Piece], Piece],
        where: str,
    ):
        self.ids: dict[str, int] = {}
        self.tokens: dict[int, AddedToken] = {}
        self.spellings: dict[int, str] = {}  # as decoders get them: normalized
        self.special: set[str] = set()
        following = len(ids)
        for token in map(AddedToken.of, parts):
            if not token.content:
                continue
            found = self.ids.get(token.content, ids.get(token.content))
            if found is None:
                found, following = following, following + 1
            self._add(token, found, normalize)
        self.raw = self._finder(False, where)
        self.normalized = self._finder(True, where)
        self.encode_special = False

    def _add(self, token: AddedToken, i: int, normalize: Callable[[Piece], Piece]) -> None:
        self.ids[token.content] = i
        self.tokens[i] = token
        self.spellings.setdefault(i, token.content)
        if token.normalized:
            self.spellings[i] = normalize(Piece.of(token.content)).text
        if token.special:
            self.special.add(token.content)

    def _finder(self, normalized: bool, where: str) -> Finder:
        chosen = [i for i, token in self.tokens.items() if token.normalized == normalized]
        return Finder({i: self.spellings[i] for i in chosen}, where)

    def cut(self, piece: Piece, finder: Finder) -> list[Piece | Found]:
        """The piece without empty parts."""
        parts: list[Piece | Found] = []
        last = 0
        for begin, end, i in self._matches(piece.text, finder):
            if last < begin:
                parts.append(piece.slice(last, begin))
            if begin < end:  # else its blanks went along with the token before
                parts.append(Found(i, piece.slice(begin, end)))
            last = end
        if last < len(piece.text):
            parts.append(piece.slice(last, len(piece.text)))
        return parts

    def _matches(self, text: str, finder: Finder) -> Iterator[tuple[int, int, int]]:
        """Begin, end and id of what counts, with the blanks that go along."""
        last = 0
        for begin, end, i in finder.matches(text):
            token = self.tokens[i]
            if self.encode_special and token.content in self.special:
                continue
            if token.single_word and _inside_a_word(text, begin, end):
                continue
            if token.lstrip:
                begin = max(last, last + len(text[last:begin].rstrip(SPACES)))
            if token.rstrip:
                end = _behind_blanks(text, end)
            yield begin, end, i
            last = end


class Finder:
    """Finds texts in a text: the leftmost, of several the longest."""

    def __init__(self, texts: dict[int, str], where: str):
        self.ids = {text: i for i, text in texts.items()}
        if len(self.ids) < len(texts) or "" in self.ids:
            twice = next(t for i, t in texts.items() if not t or self.ids[t] != i)
            raise FormatError(f"{where}: {twice!r:.60} is nothing, or found for two tokens")
        self.lengths = lengths(self.ids)
        self.starts = re.compile(expression((ord(char), ord(char)) for char in self.lengths))

    def matches(self, text: str) -> Iterator[tuple[int, int, int]]:
        at = 0
        while start := self.starts.search(text, at):
            at = start.start()
            for length in reversed(self.lengths[text[at]]):
                found = self.ids.get(text[at : at + length])
                if found is not None:
                    yield at, at + length, found
                    at += length
                    break
            else:
                at += 1


def _inside_a_word(text: str, begin: int, end: int) -> bool:
    word = re.compile(expression(ranges("regex_word")))
    before, behind = text[begin - 1 : begin], text[end : end + 1]
    return bool(word.match(before) or word.match(behind))


def _behind_blanks(text: str, at: int) -> int:
    found = BLANKS.match(text, at)
    assert found is not None
    return found.end()
