"""What every model has: tokens and ids; and what it makes of a word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .fields import Fields
from .pieces import Span

MAX_ID = 2**32 - 1


class Tokens(NamedTuple):
    """The tokens of a word; spans are in bytes of its UTF-8, as a token may be a byte.

    `text` is set where the text of the one token is not as the vocabulary spells it.
    """

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    text: str | None = None


def vocabulary(model: Fields) -> dict[str, int]:
    """The field `vocab`: id by token."""
    vocab: Any = model.value.get("vocab")
    if not isinstance(vocab, dict):
        raise model.error("vocab", "an object")
    ids = vocab.values()
    if not (set(map(type, ids)) <= {int} and (not vocab or 0 <= min(ids) <= max(ids) <= MAX_ID)):
        token = next(t for t, i in vocab.items() if type(i) is not int or not 0 <= i <= MAX_ID)
        raise Fields(vocab, f"{model.where}.vocab").error(token, f"0..{MAX_ID}")
    return vocab


def lengths(tokens: Iterable[str]) -> dict[str, list[int]]:
    """The lengths that tokens have, by their first character; short ones first."""
    found: dict[str, set[int]] = {}
    for token in tokens:
        if token:
            found.setdefault(token[0], set()).add(len(token))
    return {char: sorted(several) for char, several in found.items()}
