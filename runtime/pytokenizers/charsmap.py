"""SentencePiece's compiled normalization rules (`Precompiled`), from T5, XLM-RoBERTa, ...

A rule book is a double-array trie over bytes and a text of replacements, each ended by a zero
(crate spm_precompiled). A cluster of characters, such as a letter with its accents, is replaced
by what its shortest known beginning stands for, if it has less than six bytes; else each of its
characters is. That the rest of such a cluster goes lost is what `tokenizers` does.
"""

from __future__ import annotations

import base64
import binascii
import re
from array import array
from collections.abc import Callable
from functools import lru_cache
from sys import byteorder

from edge.errors import FormatError

from .classes import expression, ranges
from .fields import Fields
from .pieces import Piece

MAX_CLUSTER_BYTES = 5
HANGUL = "[\u1100-\u115f\ua960-\ua97c]*[\uac00-\ud7a3]?[\u1160-\u11ff\ud7b0-\ud7fb]*"


class Charsmap:
    """Rules, parsed; a trie that leads outside itself is found when it is used."""

    def __init__(self, data: bytes, where: str):
        size = int.from_bytes(data[:4], "little")
        if len(data) < 8 or size < 4 or size % 4 or 4 + size > len(data):
            raise FormatError(f"{where}: rules of {len(data)} bytes whose trie has {size}")
        self.where = where
        self.trie = array("I", data[4 : 4 + size])
        if byteorder == "big":
            self.trie.byteswap()
        self.texts = data[4 + size :]
        try:
            self.texts.decode()
        except UnicodeDecodeError:
            raise FormatError(f"{where}: expected replacements in UTF-8") from None
        self.replacement = lru_cache(maxsize=1 << 14)(self._replacement)

    def _replacement(self, cluster: str) -> str | None:
        """What a cluster becomes; None if no beginning of it is known."""
        try:
            at = self._first_match(cluster.encode())
            if at is None:
                return None
            end = self.texts.find(b"\0", at)
            if at > len(self.texts):
                raise IndexError
            return self.texts[at : end if end >= 0 else None].decode()
        except (IndexError, UnicodeDecodeError):
            raise FormatError(f"{self.where}: the trie leads outside the rules") from None

    def _first_match(self, key: bytes) -> int | None:
        node = _offset(self.trie[0])
        for byte in key:
            if byte == 0:
                return None
            node ^= byte
            unit = self.trie[node]
            if unit & 0x800000FF != byte:
                return None
            node ^= _offset(unit)
            if unit & 0x100:  # a key ends here
                return self.trie[node] & 0x7FFFFFFF
        return None

    def __call__(self, piece: Piece) -> Piece:
        text: list[str] = []
        changes: list[int] = []
        for cluster in _clusters().findall(piece.text):
            for old in self._parts(cluster):
                new = self.replacement(old)
                text.append(old if new is None else new)
                _count(changes, len(old), len(text[-1]))
        whole = "".join(text)
        return piece if whole == piece.text else piece.changed(whole, lambda: changes)

    def _parts(self, cluster: str) -> str | list[str]:
        short = len(cluster.encode()) <= MAX_CLUSTER_BYTES
        return [cluster] if short and self.replacement(cluster) is not None else cluster


def normalizer(part: Fields) -> Callable[[Piece], Piece]:
    where = f"{part.where}.precompiled_charsmap"
    try:
        data = base64.b64decode(part.text("precompiled_charsmap"), validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"{where}: expected base64") from None
    return Charsmap(data, where)


def _offset(unit: int) -> int:
    return unit >> 10 << ((unit & 0x200) >> 6)


def _count(changes: list[int], old: int, new: int) -> None:
    """Changes of `new` characters for `old` ones (Piece.changed)."""
    added = max(new - old, 0)
    changes += [0] * new
    if added:
        changes[-added:] = [1] * added
    elif new < old and changes:
        changes[-1] += new - old


@lru_cache(maxsize=1)
def _clusters() -> re.Pattern[str]:
    """Extended grapheme clusters (UAX 29), where ones of six bytes and more need no exact end."""
    control = expression(ranges("grapheme_control"))
    prepend = expression(ranges("grapheme_prepend"))
    extend = expression(ranges("grapheme_extend"))
    hangul = f"(?=[\u1100-\u11ff\ua960-\ua97c\uac00-\ud7fb]){HANGUL}"
    return re.compile(rf"\r\n|{prepend}*(?:{hangul}|(?!{control})(?s:.)){extend}*|(?s:.)")
