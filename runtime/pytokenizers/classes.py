"""Which characters are letters, digits, spaces, ...: as the Rust packages have it.

Python's own tables follow the version of Python (3.10: Unicode 13), the Rust packages theirs, and
not all the same one. So classes.txt holds what `tokenizers` itself answers for every character;
tests/golden/unicode_classes.py writes it, and says which class is whose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

Range = tuple[int, int]  # first and last character
LAST = 0x10FFFF
ASCII, BASIC = 0x7F, 0xFFFF  # limits below which the classes of a text's characters are smaller


@lru_cache(maxsize=1)
def _lines() -> dict[str, str]:
    text = Path(__file__).with_name("classes.txt").read_text(encoding="ascii")
    return dict(line.split(" ", 1) for line in text.splitlines())


def names() -> list[str]:
    return list(_lines())


@lru_cache(maxsize=64)
def ranges(name: str) -> tuple[Range, ...]:
    """A class's ranges in order.  Raises KeyError if there is no such class."""
    bounds = [[int(bound, 16) for bound in item.split("-")] for item in _lines()[name].split()]
    return tuple((bound[0], bound[-1]) for bound in bounds)


def union(parts: Iterable[Range]) -> tuple[Range, ...]:
    """Ranges in order that neither touch nor overlap."""
    joined: list[Range] = []
    for first, last in sorted(parts):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def complement(parts: Iterable[Range]) -> tuple[Range, ...]:
    free, missing = 0, []
    for first, last in union(parts):
        if free < first:
            missing.append((free, first - 1))
        free = last + 1
    return (*missing, (free, LAST)) if free <= LAST else tuple(missing)


def expression(parts: Iterable[Range], limit: int = LAST) -> str:
    """A class of `re` for the ranges, as far as characters up to `limit` can be in them."""
    inside = [(first, min(last, limit)) for first, last in union(parts) if first <= limit]
    return "[" + "".join(map(_range, inside)) + "]" if inside else "(?!)"


def _range(bounds: Range) -> str:
    first, last = bounds
    return f"\\U{first:08x}" if first == last else f"\\U{first:08x}-\\U{last:08x}"


@lru_cache(maxsize=16)
def members(name: str) -> frozenset[str]:
    """The characters of a small class."""
    return frozenset(chr(c) for first, last in ranges(name) for c in range(first, last + 1))


@lru_cache(maxsize=16)
def matcher(name: str) -> re.Pattern[str]:
    """Matches one character of a class, however large."""
    return re.compile(expression(ranges(name)))


@lru_cache(maxsize=1)
def lowercase() -> dict[str, str]:
    """Small letters of capitals that came after Unicode 3.2: not every Python knows them all."""
    pairs = (item.split(">") for item in _lines()["lowercase"].split())
    return {chr(int(large, 16)): chr(int(small, 16)) for large, small in pairs}


SPACES = "".join(map(chr, (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)))) + (
    "\u2028\u2029\u202f\u205f\u3000"  # Unicode's White_Space; Python's \s has four more
)
