"""Byte-pair encoding: of a word's characters, the pair that was learnt first is merged first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from operator import add, lshift, or_
from typing import Any

from edge.errors import FormatError

from .fields import Fields
from .vocabularies import Tokens, vocabulary

CACHED_WORDS = 1 << 14
CACHED_LENGTH = 256  # characters; longer words hardly come twice
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ID_BITS = 32


class Bpe:
    """Vocabulary and merges.

    A pair of ids, packed into an integer, leads to rank and id of what it becomes, packed too:
    so the best merge is the smallest integer.
    """

    def __init__(self, model: Fields):
        if model.value.get("dropout"):
            raise model.error("dropout", "none: what it drops is random")
        self.ids = vocabulary(model)
        self.prefix = model.text_or_none("continuing_subword_prefix") or ""
        self.suffix = model.text_or_none("end_of_word_suffix") or ""
        self.unknown = model.text_or_none("unk_token")
        self.fuse_unknown, self.byte_fallback, self.ignore_merges = (
            model.value.get(name) is not None and model.flag(name)
            for name in ("fuse_unk", "byte_fallback", "ignore_merges")
        )
        if self.byte_fallback and (self.prefix or self.suffix):
            raise model.error("byte_fallback", "false beside a prefix or suffix of subwords")
        self.merges = _merges(model, self.ids, len(self.prefix))
        self._words: dict[str, Tokens] = {}

    @cached_property
    def tokens(self) -> dict[int, str]:
        return {i: token for token, i in self.ids.items()}

    def tokenize(self, word: str) -> Tokens:
        found = self._words.get(word)
        if found is None:
            found = self._tokenize(word)
            if len(word) <= CACHED_LENGTH:
                if len(self._words) >= CACHED_WORDS:
                    self._words.clear()
                self._words[word] = found
        return found

    def _tokenize(self, word: str) -> Tokens:
        if self.ignore_merges and word in self.ids:
            return Tokens((self.ids[word],), ((0, len(word.encode())),))
        ids, lengths = self._characters(word)
        _merge(ids, lengths, self.merges)
        ends = _sums(length for length in lengths if length)
        left = tuple(i for i, length in zip(ids, lengths, strict=True) if length)
        return Tokens(left, tuple(zip((0, *ends), ends, strict=False)))

    def _characters(self, word: str) -> tuple[list[int], list[int]]:
        """Ids of the characters and their length in bytes."""
        ids: list[int] = []
        lengths: list[int] = []
        unknown = 0  # bytes of an unknown token that is not written yet
        for i, char in enumerate(word):
            length = len(char.encode())
            spelt = char
            if self.prefix and i:
                spelt = self.prefix + spelt
            if self.suffix and i == len(word) - 1:
                spelt += self.suffix
            found = self.ids.get(spelt)
            if found is None and (in_bytes := self._in_bytes(spelt)):
                # The token of unknown characters comes behind these, as in `tokenizers`.
                ids += in_bytes
                lengths += [1] * len(in_bytes)
            elif found is None and self.unknown is not None:
                if unknown and not self.fuse_unknown:
                    ids.append(self._unknown_id)
                    lengths.append(unknown)
                    unknown = 0
                unknown += length
            elif found is not None:
                if unknown:
                    ids.append(self._unknown_id)
                    lengths.append(unknown)
                    unknown = 0
                ids.append(found)
                lengths.append(length)
        if unknown:
            ids.append(self._unknown_id)
            lengths.append(unknown)
        return ids, lengths

    def _in_bytes(self, spelt: str) -> list[int]:
        """Ids of the bytes; none if the vocabulary lacks one."""
        if not self.byte_fallback:
            return []
        found = [self.ids.get(BYTES[byte]) for byte in spelt.encode()]
        return [] if None in found else [i for i in found if i is not None]

    @cached_property
    def _unknown_id(self) -> int:
        if self.unknown not in self.ids:
            raise FormatError(f"unk_token {self.unknown!r:.60} is not in the vocabulary")
        return self.ids[self.unknown]


def _merge(ids: list[int], lengths: list[int], merges: dict[int, int]) -> None:
    """Merge in place: a symbol takes in its right neighbour, whose length becomes 0."""
    count = len(ids)
    after, before = list(range(1, count + 1)), list(range(-1, count - 1))
    queue = []
    for at in range(count - 1):
        if (merge := merges.get(ids[at] << ID_BITS | ids[at + 1])) is not None:
            queue.append((merge, at))
    heapify(queue)
    while queue:
        merge, at = heappop(queue)
        right = after[at]
        if not lengths[at] or right == count:
            continue
        # The pair may have changed since; as in `tokenizers`, what it becomes tells.
        now = merges.get(ids[at] << ID_BITS | ids[right])
        new = merge & (1 << ID_BITS) - 1
        if now is None or now & (1 << ID_BITS) - 1 != new:
            continue
        ids[at] = new
        lengths[at] += lengths[right]
        lengths[right] = 0
        after[at] = following = after[right]
        if following < count:
            before[following] = at
            if (merge := merges.get(new << ID_BITS | ids[following])) is not None:
                heappush(queue, (merge, at))
        previous = before[at]
        if previous >= 0 and (merge := merges.get(ids[previous] << ID_BITS | new)) is not None:
            heappush(queue, (merge, previous))


def _merges(model: Fields, ids: dict[str, int], prefix: int) -> dict[int, int]:
    """Without a loop in Python, as vocabularies of today have hundreds of thousands."""
    lefts, rights = _pairs(model)
    wholes = map(add, lefts, (right[prefix:] for right in rights) if prefix else rights)
    found: list[list[Any]] = [list(map(ids.get, tokens)) for tokens in (lefts, rights, wholes)]
    for column in found:
        if None in column:
            at = column.index(None)
            pair = lefts[at], rights[at]
            raise FormatError(f"{model.where}.merges[{at}]: {pair!r:.80} is not of the vocabulary")
    left, right, whole = found
    bits = [ID_BITS] * len(left)
    keys = map(or_, map(lshift, left, bits), right)
    return dict(zip(keys, map(or_, map(lshift, range(len(left)), bits), whole), strict=True))


def _pairs(model: Fields) -> tuple[Sequence[str], Sequence[str]]:
    """The field `merges`: pairs, or texts with a blank between."""
    merges = model.value.get("merges")
    if not isinstance(merges, list):
        raise model.error("merges", "a list")
    if merges and isinstance(merges[0], str):
        merges = [m for m in merges if not (isinstance(m, str) and m.startswith("#version"))]
        merges = [m.split(" ") if isinstance(m, str) else m for m in merges]
    kinds = set(map(type, merges))
    if kinds <= {list} and set(map(len, merges)) <= {2}:
        lefts, rights = zip(*merges, strict=True) if merges else ((), ())
        if set(map(type, lefts)) | set(map(type, rights)) <= {str}:
            return lefts, rights
    raise FormatError(f"{model.where}.merges: expected pairs of tokens")


def _sums(lengths: Any) -> tuple[int, ...]:
    total, sums = 0, []
    for length in lengths:
        total += length
        sums.append(total)
    return tuple(sums)
