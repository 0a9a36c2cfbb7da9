r"""Regular expressions of Oniguruma, which `tokenizers` uses, said in Python's.

Translated: literals, classes with \p{..}, \s, \d, \w, groups, (?i:..), lookaround, atomic groups and
possessive quantifiers (which Python has since 3.11 only). Refused by name: all else; and what
could take exponential time, because a file is not to be trusted: a repeated group in which there
is a choice, unless nothing comes after it that could fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from edge.errors import FormatError

from .classes import LAST, Range, complement, expression, names, ranges, union

MAX_LENGTH = 8192  # the longest in use has about 2,000 characters
MAX_NESTING = 16
MAX_REPEATS = 1000
ESCAPES = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "a": 7, "e": 27}
SHORTHANDS = {"s": "space", "d": "Nd", "w": "word"}
SHORTHANDS_IN_CLASS = {"s": "space", "d": "Nd", "w": "word_in_class"}  # there without ² ³ ¹ ¼ ½ ¾
ANCHORS = {"A": r"\A", "z": r"\Z", "Z": r"(?=\n?\Z)"}
LOOKAROUND = ("(?=", "(?!", "(?<=", "(?<!")
QUANTIFIER = re.compile(r"([*+?])|\{(\d{1,5})?(?:(,)(\d{1,5})?)?\}")
# Without regard to case these match one letter too (ß, ﬀ, ﬁ, ﬂ, ﬆ), which `re` does not know.
LIGATURES = re.compile("ss|ff|fi|fl|st", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """
    source  in Python's language
    choice  there is more than one way to match
    open    a repeated choice: nothing may follow that could fail
    """

    source: str
    choice: bool = False
    open: bool = False


@lru_cache(maxsize=64)
def translated(pattern: str, limit: int = LAST) -> str:
    """For texts whose characters go up to `limit`.  Raises FormatError."""
    if len(pattern) > MAX_LENGTH:
        raise FormatError(f"expression of {len(pattern)} characters, expected at most {MAX_LENGTH}")
    reader = _Reader(pattern, limit)
    source = reader.alternatives().source
    if reader.at < len(pattern):
        raise reader.error("unmatched )")
    return source


class _Reader:
    def __init__(self, pattern: str, limit: int):
        self.pattern, self.limit = pattern, limit
        self.at = 0
        self.depth = 0
        self.captures = 0  # groups that stand for atomic ones
        self.any_case = False

    def error(self, what: str) -> FormatError:
        return FormatError(f"expression {self.pattern!r:.80}, character {self.at}: {what}")

    def unsupported(self, what: str) -> FormatError:
        return self.error(f"{what!r} is not supported; install the package tokenizers for it")

    def take(self, prefix: str) -> bool:
        """Whether the prefix comes next; it is passed over."""
        if found := self.pattern.startswith(prefix, self.at):
            self.at += len(prefix)
        return found

    def next(self) -> str:
        if self.at == len(self.pattern):
            raise self.error("ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def alternatives(self) -> Part:
        parts = [self.sequence()]
        while self.take("|"):
            parts.append(self.sequence())
        source = "|".join(part.source for part in parts)
        choice = len(parts) > 1 or parts[0].choice
        return Part(source, choice, any(part.open for part in parts))

    def sequence(self) -> Part:
        parts: list[Part] = []
        begin = self.at
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if parts and parts[-1].open:
                raise self.error("comes after a repeated group with choices in it; may never end")
            parts.append(self.quantified(self.atom()))
        if self.any_case and LIGATURES.search(self.pattern, begin, self.at):
            raise self.unsupported("(?i: with letters that have a ligature")
        source = "".join(part.source for part in parts)
        return Part(source, any(part.choice for part in parts), bool(parts) and parts[-1].open)

    def quantified(self, atom: Part) -> Part:
        found = QUANTIFIER.match(self.pattern, self.at)
        if not found or found.group() in ("{}", "{,}"):
            return atom
        self.at = found.end()
        least, most = self.bounds(found)
        part = self.repeated(atom, found.group(), least, most)
        braces = found.group().startswith("{")
        if not braces and self.take("+"):
            part = self.atomic(part)
        elif self.take("?"):
            if braces and not found[3]:
                raise self.unsupported(found.group() + "?")
            part = Part(part.source + "?", part.choice, part.open)
        if QUANTIFIER.match(self.pattern, self.at):
            raise self.unsupported("a quantifier on a quantifier")
        return part

    def bounds(self, found: re.Match[str]) -> tuple[int, int | None]:
        if found[1]:
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[1]]
        least = int(found[2] or 0)
        most = int(found[4]) if found[4] else None if found[3] else least
        if max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
            raise self.unsupported(found.group())
        return least, most

    def repeated(self, atom: Part, quantifier: str, least: int, most: int | None) -> Part:
        again = most != 1 and most != 0
        if again and atom.open and least > 1:
            raise self.error("repeats a repeated group with choices in it; may never end")
        opens = atom.open or (again and atom.choice)
        return Part(atom.source + quantifier, least != most or atom.choice, opens)

    def atomic(self, part: Part) -> Part:
        """What has matched stays so: a lookahead never goes back into itself."""
        self.captures += 1
        name = f"a{self.captures}"
        return Part(f"(?=(?P<{name}>{part.source}))(?P={name})")

    def atom(self) -> Part:
        char = self.next()
        if char == "(":
            return self.group()
        if char == "[":
            return Part(expression(self.class_ranges(), self.limit))
        if char == "\\":
            return self.escape()
        if char == ".":
            return Part(r"[^\n]")
        if char == "^":
            return Part(r"(?:\A|(?<=\n)(?!\Z))")
        if char == "$":
            return Part(r"(?=\n|\Z)")
        if char in "*+?":
            raise self.error("nothing to repeat")
        return Part(re.escape(char))

    def group(self) -> Part:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(f"more than {MAX_NESTING} groups in each other")
        self.at -= 1
        part = self.group_of(
            next(filter(self.take, (*LOOKAROUND, "(?:", "(?i:", "(?>", "(?", "(")))
        )
        if not self.take(")"):
            raise self.error("expected )")
        self.depth -= 1
        return part

    def group_of(self, opening: str) -> Part:
        if opening == "(?":
            raise self.unsupported(self.pattern[self.at - 2 : self.at + 2])
        before = self.any_case
        self.any_case |= opening == "(?i:"
        inner = self.alternatives()
        self.any_case = before
        if opening == "(?>":
            return self.atomic(inner)
        if opening in LOOKAROUND:
            if inner.open:
                raise self.error("looks for a repeated group with choices in it; may never end")
            return Part(f"{opening}{inner.source})")
        opening = "(?:" if opening == "(" else opening
        return Part(f"{opening}{inner.source})", inner.choice, inner.open)

    def escape(self) -> Part:
        if self.pattern[self.at : self.at + 1] in ANCHORS:
            return Part(ANCHORS[self.next()])
        found = self.escaped()
        if isinstance(found, int):
            return Part(re.escape(chr(found)))
        if self.any_case:
            raise self.unsupported("(?i: with a class of characters")
        return Part(expression(found, self.limit))

    def escaped(self, in_class: bool = False) -> int | tuple[Range, ...]:
        """What a backslash begins: a character, or a class."""
        char = self.next()
        if char in "pP":
            return self.property(char == "P")
        if char.lower() in SHORTHANDS:
            found = ranges((SHORTHANDS_IN_CLASS if in_class else SHORTHANDS)[char.lower()])
            return complement(found) if char.isupper() else found
        if char in ESCAPES:
            return ESCAPES[char]
        if char in "xu":
            return self.code_point(char)
        if char.isalnum() or not char.isascii():
            raise self.unsupported("\\" + char)
        return ord(char)

    def property(self, negated: bool) -> tuple[Range, ...]:
        found = re.compile(r"\{(\^?)([A-Z][a-z]?)\}").match(self.pattern, self.at)
        name = found[2] if found else ""
        parts = [one for one in names() if name and name in (one, one[:-1])]
        if not found or not parts:
            raise self.unsupported(self.pattern[self.at - 2 : self.at + 20])
        self.at = found.end()
        both = union(bounds for one in parts for bounds in ranges(one))
        return complement(both) if negated != bool(found[1]) else both

    def code_point(self, kind: str) -> int:
        form = r"\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2})" if kind == "x" else "()([0-9A-Fa-f]{4})"
        found = re.compile(form).match(self.pattern, self.at)
        value = int(found[1] or found[2], 16) if found else LAST + 1
        if not found or value > LAST or 0xD800 <= value < 0xE000:
            raise self.unsupported("\\" + kind)
        # Oniguruma takes \x80 and above for bytes.
        if kind == "x" and not found[1] and value > 0x7F:
            raise self.unsupported("\\x" + found[2])
        self.at = found.end()
        return value

    def class_ranges(self) -> tuple[Range, ...]:
        negated = self.take("^")
        found: list[Range] = []
        while not self.take("]"):
            first = self.member()
            if isinstance(first, int):
                found.append(self.class_range(first))
            else:
                found += first
        if not found:
            raise self.unsupported("[]")
        return complement(found) if negated else union(found)

    def class_range(self, first: int) -> Range:
        rest = self.pattern[self.at : self.at + 2]
        if rest[:1] != "-" or rest == "-]":
            return first, first
        self.at += 1
        last = self.member()
        if not isinstance(last, int) or last < first:
            raise self.unsupported("a range that is none")
        return first, last

    def member(self) -> int | tuple[Range, ...]:
        char = self.next()
        if char == "[" or self.pattern.startswith("&&", self.at - 1):
            raise self.unsupported("a class in a class")
        if char == "\\":
            found = self.escaped(in_class=True)
            if self.any_case and not isinstance(found, int):
                raise self.unsupported("(?i: with a class of characters")
            return found
        return ord(char)
