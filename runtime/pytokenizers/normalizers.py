"""What is done to the text before it is cut into words."""

from __future__ import annotations

import re
from collections.abc import Callable

from edge.errors import FormatError

from . import charsmap, letters, unicode_forms
from .classes import SPACES, lowercase, matcher
from .fields import Fields, steps
from .patterns import pattern_of
from .pieces import Piece

Normalize = Callable[[Piece], Piece]
IDEOGRAPHS = (  # BERT's Chinese characters
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
# Of Google's neural machine translation: controls go, these become blanks.
NMT_GONE = re.compile("[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]")
NMT_BLANK = {*map(chr, (9, 10, 12, 13, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029))}
NMT_BLANK |= {"\u2581", "\ufeff", "\ufffd"}


def normalizers(part: Fields | None) -> list[Normalize]:
    found: list[Normalize] = steps(part, KINDS, "normalizers")
    return found


def _form(form: unicode_forms.Form) -> Callable[[Fields], Normalize]:
    return lambda part: lambda piece: unicode_forms.normalized(piece, form)


def _strip(part: Fields) -> Normalize:
    left, right = part.flag("strip_left"), part.flag("strip_right")

    def strip(piece: Piece) -> Piece:
        text = piece.text
        end = len(text.rstrip(SPACES)) if right else len(text)
        begin = len(text) - len(text.lstrip(SPACES)) if left else 0
        return piece.slice(min(begin, end), end)

    return strip


def _replace(part: Fields) -> Normalize:
    pattern, content = pattern_of(part), part.text("content")
    if pattern.matches_nothing:
        raise FormatError(f"{part.where}: expected a pattern that always matches something")

    def replace(piece: Piece) -> Piece:
        spans = pattern.spans(piece.text)
        if any(begin == end for begin, end in spans):
            raise FormatError(f"{part.where}: the pattern matches nothing at all")
        return piece.replaced(spans, content)

    return replace


def _prepend(part: Fields) -> Normalize:
    prefix = part.text("prepend")
    return lambda piece: piece.prepended(prefix)


def _lowercase(part: Fields | None) -> Normalize:
    young = lowercase()
    return lambda piece: piece.mapped(lambda char: young.get(char) or char.lower())


def _strip_accents(part: Fields) -> Normalize:
    marks = matcher("combining")
    return lambda piece: piece.without(marks)


def _nmt(part: Fields) -> Normalize:
    def nmt(piece: Piece) -> Piece:
        return piece.without(NMT_GONE).mapped(lambda char: " " if char in NMT_BLANK else char)

    return nmt


def _byte_level(part: Fields) -> Normalize:
    return lambda piece: piece.mapped(letters.to_letters)


def _bert(part: Fields) -> Normalize:
    lowercase = part.flag("lowercase")
    accents = part.value.get("strip_accents")
    done: list[Normalize] = []
    if part.flag("clean_text"):
        done.append(_clean)
    if part.flag("handle_chinese_chars"):
        done.append(_ideographs_apart)
    if lowercase if accents is None else part.flag("strip_accents"):
        done.append(_without_accents)
    if lowercase:
        done.append(_lowercase(None))

    def bert(piece: Piece) -> Piece:
        for step in done:
            piece = step(piece)
        return piece

    return bert


def _clean(piece: Piece) -> Piece:
    kept = piece.without(matcher("bert_control"))
    return kept.mapped(lambda char: " " if char in SPACES else char)


def _ideographs_apart(piece: Piece) -> Piece:
    return piece.mapped(lambda char: f" {char} " if _is_ideograph(ord(char)) else char)


def _is_ideograph(code: int) -> bool:
    return any(first <= code <= last for first, last in IDEOGRAPHS)


def _without_accents(piece: Piece) -> Piece:
    return unicode_forms.normalized(piece, "NFD").without(matcher("nonspacing"))


KINDS: dict[str, Callable[[Fields], Normalize]] = {
    "NFC": _form("NFC"),
    "NFD": _form("NFD"),
    "NFKC": _form("NFKC"),
    "NFKD": _form("NFKD"),
    "Replace": _replace,
    "Prepend": _prepend,
    "Precompiled": charsmap.normalizer,
    "Lowercase": _lowercase,
    "Strip": _strip,
    "StripAccents": _strip_accents,
    "Nmt": _nmt,
    "ByteLevel": _byte_level,
    "BertNormalizer": _bert,
}
