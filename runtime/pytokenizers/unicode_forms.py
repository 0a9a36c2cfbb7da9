"""Unicode's normal forms, in the version that `tokenizers` has: 9.0.

Characters that are younger stay as they are. Which character came from which is counted as the
crate unicode-normalization-alignments does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from .classes import members
from .pieces import Piece

Changed = tuple[str, int]  # a character, and what it stands for (Piece.changed)


def normalized(piece: Piece, form: str) -> Piece:
    if piece.text.isascii():
        return piece
    text = "".join(unicodedata.normalize(form, part) for part in _parts(piece.text))
    if text == piece.text:
        return piece
    return piece.changed(text, lambda: _changes(piece.text, form))


def _parts(text: str) -> list[str]:
    """The text cut around characters that the crate does not know."""
    unknown = [i for i, char in enumerate(text) if _is_unknown(char)]
    bounds = [0, *(bound for i in unknown for bound in (i, i + 1)), len(text)]
    return [text[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]


@lru_cache(maxsize=1 << 12)
def _is_unknown(char: str) -> bool:
    """Whether this Python's Unicode may do something to a character that the crate's does not."""
    touched = unicodedata.combining(char) or unicodedata.decomposition(char)
    # What Unicode 10 and later compose lies beyond U+FFFF.
    return bool(touched or char > "\uffff") and char not in members("normalizing")


def _changes(text: str, form: str) -> list[int]:
    changes: list[int] = []
    for part in _parts(text):
        found = _decomposed(part, "NFKD" if "K" in form else "NFD")
        changes += [change for _, change in (_composed(found) if form[-1] == "C" else found)]
    return changes


def _decomposed(text: str, form: str) -> list[Changed]:
    """Every character taken apart, then marks put in order; each keeps its change."""
    known = not _is_unknown(text) if len(text) == 1 else True
    apart = [
        (char, min(i, 1))
        for whole in text
        for i, char in enumerate(unicodedata.normalize(form, whole) if known else whole)
    ]
    ordered: list[Changed] = []
    marks: list[Changed] = []
    for one in apart:
        if known and unicodedata.combining(one[0]):
            marks.append(one)
            continue
        ordered += sorted(marks, key=_class)
        marks = []
        ordered.append(one)
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
