"""Unicode's normal forms, in the version that `tokenizers` has: 9.0.

Characters that are younger stay as they are. Which character came from which is counted as the
crate unicode-normalization-alignments does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from .classes import members
from .pieces import Piece

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
Changed = tuple[str, int]  # a character, and what it stands for (Piece.changed)


def normalized(piece: Piece, form: Form) -> Piece:
    if piece.text.isascii():
        return piece
    text = "".join(
        unicodedata.normalize(form, part) if known else part for part, known in _parts(piece.text)
    )
    if text == piece.text:
        return piece
    return piece.changed(text, lambda: _changes(piece.text, form))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Characters that the crate does not know, and the parts between them, which it does."""
    last = 0
    for i, char in enumerate(text):
        if _is_unknown(char):
            yield text[last:i], True
            yield char, False
            last = i + 1
    yield text[last:], True


@lru_cache(maxsize=1 << 12)
def _is_unknown(char: str) -> bool:
    """Whether this Python's Unicode may do something to a character that the crate's does not."""
    touched = unicodedata.combining(char) or unicodedata.decomposition(char)
    # What Unicode 10 and later compose lies beyond U+FFFF.
    return bool(touched or char > "\uffff") and char not in members("normalizing")


def _changes(text: str, form: Form) -> list[int]:
    changes: list[int] = []
    for part, known in _parts(text):
        if known:
            found = _decomposed(part, "NFKD" if "K" in form else "NFD")
            changes += [change for _, change in (_composed(found) if form[-1] == "C" else found)]
        else:
            changes.append(0)
    return changes


def _decomposed(text: str, form: Form) -> list[Changed]:
    """Every character taken apart, then marks put in order; each keeps its change."""
    ordered: list[Changed] = []
    marks: list[Changed] = []
    for whole in text:
        for i, char in enumerate(unicodedata.normalize(form, whole)):
            if unicodedata.combining(char):
                marks.append((char, min(i, 1)))
                continue
            ordered += [*sorted(marks, key=_class), (char, min(i, 1))]
            marks = []
    return ordered + sorted(marks, key=_class)


def _class(changed: Changed) -> int:
    return unicodedata.combining(changed[0])


def _composed(apart: list[Changed]) -> Iterator[Changed]:
    """Unicode's canonical composition (UAX 15): each starter takes in the marks that it can."""
    starter: Changed | None = None
    waiting: list[Changed] = []
    for one in apart:
        if starter is None:
            if _class(one):
                yield one
            else:
                starter = one
            continue
        blocked = bool(waiting) and _class(waiting[-1]) >= _class(one)
        whole = None if blocked else _pair(starter[0], one[0])
        if whole:
            starter = (whole, starter[1] + one[1] - 1)
        elif _class(one):
            waiting.append(one)
        else:
            yield from (starter, *waiting)
            starter, waiting = one, []
    yield from (*([starter] if starter else []), *waiting)


def _pair(first: str, second: str) -> str | None:
    whole = unicodedata.normalize("NFC", first + second)
    return whole if len(whole) == 1 else None
