"""How the text is cut into words, each of which the model gets by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from edge.errors import FormatError

from . import letters
from .classes import SPACES, expression, matcher, ranges
from .fields import Fields, steps
from .patterns import Pattern, pattern_of
from .pieces import BEHAVIORS, Cut, Piece, Span, isolated, merged_with_next, removed, spread

Pretokenize = Callable[[list[Piece]], list[Piece]]
Find = Callable[[str], list[Cut]]
Behavior = Callable[[Iterable[Cut]], list[Span]]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PREPEND = {"always": "always", "first": "first", "never": "never"}


def pretokenizers(part: Fields | None) -> list[Pretokenize]:
    found: list[Pretokenize] = steps(part, KINDS, "pretokenizers")
    return found


def _cut(piece: Piece, find: Find, behavior: Behavior) -> list[Piece]:
    spans = behavior(find(piece.text))
    return [piece.slice(begin, end) for begin, end in spans if begin < end]


def _cutter(find: Find, behavior: Behavior) -> Pretokenize:
    return lambda pieces: [part for piece in pieces for part in _cut(piece, find, behavior)]


def _split(part: Fields) -> Pretokenize:
    pattern = pattern_of(part)
    behavior = part.choice("behavior", BEHAVIORS)
    return _cutter(_inverted(pattern.cuts) if part.flag("invert") else pattern.cuts, behavior)


def _inverted(find: Find) -> Find:
    return lambda text: [(begin, end, not matched) for begin, end, matched in find(text)]


def _single(name: str) -> Find:
    """Finds characters of a class, one by one."""
    return _found_by(matcher(name))


def _found_by(pattern: re.Pattern[str]) -> Find:
    def find(text: str) -> list[Cut]:
        cuts, last = [], 0
        for match in pattern.finditer(text):
            begin, end = match.span()
            if last < begin:
                cuts.append((last, begin, False))
            cuts.append((begin, end, True))
            last = end
        if last < len(text):
            cuts.append((last, len(text), False))
        return cuts

    return find


def _digits(part: Fields) -> Pretokenize:
    kind = "Isolated" if part.flag("individual_digits") else "Contiguous"
    return _cutter(_single("numeric"), BEHAVIORS[kind])


def _punctuation(part: Fields) -> Pretokenize:
    return _cutter(_single("punctuation"), part.choice("behavior", BEHAVIORS, "Isolated"))


def _whitespace_split(part: Fields) -> Pretokenize:
    return _cutter(_found_by(re.compile(f"[{SPACES}]")), removed)


def _whitespace(part: Fields) -> Pretokenize:
    word = expression(ranges("regex_word"))
    find = _found_by(re.compile(rf"{word}+|(?:(?!{word})[^{SPACES}])+"))
    return _cutter(_inverted(find), removed)


def _delimiter(part: Fields) -> Pretokenize:
    delimiter = re.compile(re.escape(part.character("delimiter")))
    return _cutter(_found_by(delimiter), removed)


def _bert(part: Fields) -> Pretokenize:
    words, marks = _whitespace_split(part), _cutter(_single("punctuation"), isolated)
    return lambda pieces: marks(words(pieces))


def _byte_level(part: Fields) -> Pretokenize:
    prefix, cut = part.flag("add_prefix_space"), part.flag("use_regex", True)
    part.flag("trim_offsets")
    words = _cutter(_gpt2().cuts, isolated) if cut else None

    def byte_level(pieces: list[Piece]) -> list[Piece]:
        if prefix:
            pieces = [p if p.text.startswith(" ") else p.prepended(" ") for p in pieces]
        return [_in_letters(piece) for piece in (words(pieces) if words else pieces)]

    return byte_level


@lru_cache(maxsize=1)
def _gpt2() -> Pattern:
    return Pattern(GPT2)


def _in_letters(piece: Piece) -> Piece:
    text = piece.text
    if text.isascii():
        return Piece(letters.to_letters(text), lambda: piece.spans)
    counts = (len(char.encode()) for char in text)
    return Piece(letters.to_letters(text), lambda: spread(piece.spans, counts))


def _metaspace(part: Fields) -> Pretokenize:
    mark, scheme = part.character("replacement"), part.choice("prepend_scheme", PREPEND, "always")
    if part.value.get("add_prefix_space") is False:
        if scheme == "first" or (scheme == "always" and "prepend_scheme" in part.value):
            raise FormatError(f"{part.where}: add_prefix_space contradicts prepend_scheme {scheme}")
        scheme = "never"
    split = part.value.get("split") is None or part.flag("split")
    find = _found_by(re.compile(re.escape(mark)))

    def marked(piece: Piece) -> Piece:
        shown = Piece(piece.text.replace(" ", mark), lambda: piece.spans)
        if scheme == "never" or shown.text.startswith(mark):
            return shown
        first = scheme == "always" or shown.spans[0][0] == 0
        return shown.prepended(mark) if first else shown

    def metaspace(pieces: list[Piece]) -> list[Piece]:
        done = [marked(piece) for piece in pieces]
        return [p for piece in done for p in _cut(piece, find, merged_with_next)] if split else done

    return metaspace


KINDS: dict[str, Callable[[Fields], Pretokenize]] = {
    "Split": _split,
    "ByteLevel": _byte_level,
    "Digits": _digits,
    "Metaspace": _metaspace,
    "Punctuation": _punctuation,
    "Whitespace": _whitespace,
    "WhitespaceSplit": _whitespace_split,
    "CharDelimiterSplit": _delimiter,
    "BertPreTokenizer": _bert,
}
