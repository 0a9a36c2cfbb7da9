"""Tokens, as the vocabulary spells them, back to text."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import letters
from .fields import Fields, steps
from .patterns import pattern_of
from .pretokenizers import PREPEND

Decode = Callable[[list[str]], list[str]]
BYTE = re.compile(r"<0x([0-9A-Fa-f+][0-9A-Fa-f])>")
MAX_STRIP = 1 << 16
CLEANED = {  # in this order; "do not" is as the Python original had it
    **{f" {mark}": mark for mark in ".?!,"},
    " ' ": "'",
    " n't": "n't",
    " 'm": "'m",
    " do not": " don't",
    **{f" {suffix}": suffix for suffix in ("'s", "'ve", "'re")},
}


def decoders(part: Fields | None) -> list[Decode]:
    found: list[Decode] = steps(part, KINDS, "decoders")
    return found


def _byte_level(part: Fields) -> Decode:
    for name in ("add_prefix_space", "trim_offsets"):
        part.flag(name)
    return lambda tokens: [b"".join(map(letters.to_bytes, tokens)).decode("utf-8", "replace")]


def _byte_fallback(part: Fields) -> Decode:
    def decode(tokens: list[str]) -> list[str]:
        done: list[str] = []
        run = bytearray()
        for token in tokens:
            if byte := BYTE.fullmatch(token):
                run.append(int(byte[1], 16))
                continue
            done += [*_text(run), token]
            run.clear()
        return done + _text(run)

    return decode


def _text(run: bytearray) -> list[str]:
    """The text that bytes spell, or a sign for each that they spell none."""
    try:
        return [run.decode()] if run else []
    except UnicodeDecodeError:
        return ["\ufffd"] * len(run)


def _fuse(part: Fields) -> Decode:
    return lambda tokens: ["".join(tokens)]


def _strip(part: Fields) -> Decode:
    char = part.character("content")
    start, stop = part.number("start", MAX_STRIP), part.number("stop", MAX_STRIP)

    def strip(token: str) -> str:
        begin = min(start, len(token) - len(token.lstrip(char)))
        end = len(token) - min(stop, len(token) - len(token.rstrip(char)))
        return token[begin:end]

    return lambda tokens: [strip(token) for token in tokens]


def _replace(part: Fields) -> Decode:
    pattern, content = pattern_of(part), part.text("content")

    def replace(token: str) -> str:
        cuts = pattern.cuts(token)
        return "".join(content if matched else token[a:b] for a, b, matched in cuts)

    return lambda tokens: [replace(token) for token in tokens]


def _metaspace(part: Fields) -> Decode:
    mark = part.character("replacement")
    scheme = part.choice("prepend_scheme", PREPEND, "always")
    keeps = scheme == "never" or part.value.get("add_prefix_space") is False

    def decode(tokens: list[str]) -> list[str]:
        blanks = [" " if i or keeps else "" for i in range(len(tokens))]
        return [t.replace(mark, blank) for t, blank in zip(tokens, blanks, strict=True)]

    return decode


def _wordpiece(part: Fields) -> Decode:
    prefix, cleanup = part.text("prefix"), part.flag("cleanup")

    def decode(tokens: list[str]) -> list[str]:
        done = tokens[:1]
        done += [t[len(prefix) :] if t.startswith(prefix) else f" {t}" for t in tokens[1:]]
        return [_cleaned(token) for token in done] if cleanup else done

    return decode


def _cleaned(text: str) -> str:
    for untidy, tidy in CLEANED.items():
        text = text.replace(untidy, tidy)
    return text


def _bpe(part: Fields) -> Decode:
    suffix = part.text("suffix")

    def decode(tokens: list[str]) -> list[str]:
        last = len(tokens) - 1
        return [token.replace(suffix, "" if i == last else " ") for i, token in enumerate(tokens)]

    return decode


KINDS: dict[str, Callable[[Fields], Decode]] = {
    "ByteLevel": _byte_level,
    "ByteFallback": _byte_fallback,
    "Fuse": _fuse,
    "Strip": _strip,
    "Replace": _replace,
    "Metaspace": _metaspace,
    "WordPiece": _wordpiece,
    "BPEDecoder": _bpe,
}
