"""What most chat templates do, as data: literal texts around what the messages say.

A conversation is a walk from START over roles to END, and each step writes a gap: a text that
depends on the two roles alone.  START to user holds the default system text, system to user what
folds a system message into the first turn, user to END the prompt to answer.  A step that has no
gap is refused.  The exporter derives a pattern from a model's template and keeps it only if both
write the same (exporter/chat), so that a device chats without a Jinja engine.

The pattern claims messages of role and content alone.  Its tensor is a JSON object:

    gaps      {"START user": {"text", "rstrip", "lstrip"}, ...}: what Python's methods of these
              names take off the content before and the one after, "" or null (all white space)
    system    "first", or "last": the system message comes right before the last user message
    cut       {role: [text, lstrip]} or {}: of a content that has the text, only what follows its
              last occurrence is written, stripped on the left
    filled    roles whose contents must be more than white space
    excluded  {role: [texts]} that no content may have: the template does more about them
    date      strftime format of the day that replaces DATE in gaps, or null
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, NoReturn

from edge.errors import EdgeError, FormatError

from .chat_template import Message, now
from .header import parse

PATTERN = "chat_pattern.json"  # the tensor that holds it
ROLES = ("system", "user", "assistant")
START, END = "START", "END"
STEPS = {f"{a} {b}": (a, b) for a in (START, *ROLES) for b in (*ROLES, END)}
DATE = "\U000f0eda"  # a private use character, like MARK
MAX_PATTERN, MAX_TEXT, MAX_EXCLUDED = 2**16, 2**14, 64
NEEDS_JINJA = "pip install jinja2"


@dataclass(frozen=True)
class Gap:
    """What stands between two contents, and what is stripped of their ends."""

    text: str
    rstrip: str | None = ""
    lstrip: str | None = ""


@dataclass(frozen=True)
class ChatPattern:
    """See the module; `gaps` by step, "user assistant"."""

    gaps: Mapping[str, Gap]
    system: str = "first"
    cut: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    excluded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    date: str | None = None

    def render(self, messages: Sequence[Message], strftime_now: Callable[[str], str] = now) -> str:
        """The template's text.  Raises EdgeError for messages that the pattern does not claim."""
        messages = self._ordered(messages)
        roles = [START, *(message["role"] for message in messages), END]
        gaps = [self._gap(step) for step in pairwise(roles)]
        pieces = [self._literal(gaps[0], strftime_now)]
        for message, (before, after) in zip(messages, pairwise(gaps), strict=True):
            content = self._content(message).lstrip(before.lstrip).rstrip(after.rstrip)
            pieces += [content, self._literal(after, strftime_now)]
        return "".join(pieces)

    def dated(self, format: str | None = None) -> ChatPattern:
        """The same with a date of this format where gaps have DATE."""
        return replace(self, date=format)

    def _ordered(self, messages: Sequence[Message]) -> list[Message]:
        """Messages in the order they are written in."""
        ordered = list(messages)
        if self.system == "last" and any(m["role"] == "system" for m in ordered):
            users = [i for i, m in enumerate(ordered) if m["role"] == "user"]
            if not users or any(m["role"] == "system" for m in ordered[1:]):
                _not_claimed("system message that is not the first, or without a user's")
            ordered.insert(users[-1] - 1, ordered.pop(0))
        return ordered

    def _gap(self, step: tuple[str, str]) -> Gap:
        gap = self.gaps.get(" ".join(step))
        if gap is None:
            _not_claimed(_told(*step))
        return gap

    def _literal(self, gap: Gap, strftime_now: Callable[[str], str]) -> str:
        return gap.text if self.date is None else gap.text.replace(DATE, strftime_now(self.date))

    def _content(self, message: Message) -> str:
        role, content = message["role"], str(message["content"])
        if odd := message.keys() - {"role", "content"}:
            _not_claimed(f"message with {min(odd)!r:.40}")
        for text in self.excluded.get(role, ()):
            if text in content:
                _not_claimed(f"message of {role!r} with {text!r:.40} in it")
        text, lstrip = self.cut.get(role, ("", ""))
        if text and text in content:
            content = content.rpartition(text)[2].lstrip(lstrip)
        if role in self.filled and not content.strip():
            _not_claimed(f"empty message of {role!r}")
        return content

    def to_json(self) -> bytes:
        """What from_json reads."""
        gaps = {
            step: {key: value for key, value in asdict(gap).items() if value != "" or key == "text"}
            for step, gap in self.gaps.items()
        }
        document = asdict(self) | {"gaps": gaps}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes, where: str) -> ChatPattern:
        """Raises FormatError for anything but a whole and sensible pattern."""
        if len(text) > MAX_PATTERN:
            raise FormatError(f"{where}: {len(text)} bytes, expected at most {MAX_PATTERN}")
        return _Reader(where).pattern(parse(text, where, "chat pattern"))


def _told(before: str, after: str) -> str:
    if before == START:
        return f"conversation that begins with a message of {after!r:.40}"
    if after == END:
        return f"conversation that ends with a message of {before!r:.40}"
    return f"message of {after!r:.40} behind one of {before!r:.40}"


def _not_claimed(what: str) -> NoReturn:
    raise EdgeError(
        f"the model's chat pattern has no {what}; if its template does, it needs jinja2: "
        f"{NEEDS_JINJA}"
    )


class _Reader:
    """Checks a pattern's document key by key."""

    def __init__(self, where: str):
        self._where = where

    def pattern(self, document: dict[str, Any]) -> ChatPattern:
        keys = {"gaps", "system", "cut", "filled", "excluded", "date"}
        self._require(document.keys() == keys, f"the keys {sorted(keys)}", sorted(document))
        d = document
        self._require(d["system"] in ("first", "last"), "system first or last", d["system"])
        date = d["date"]
        plain = self._is_text(date) and date.isascii() and date.isprintable()
        self._require(date is None or plain, "date of plain text", date)
        return ChatPattern(
            gaps=self._gaps(d["gaps"]),
            system=d["system"],
            cut=self._cut(d["cut"]),
            filled=self._filled(d["filled"]),
            excluded=self._excluded(d["excluded"]),
            date=d["date"],
        )

    def _gaps(self, gaps: Any) -> dict[str, Gap]:
        self._require(isinstance(gaps, dict) and gaps.keys() <= STEPS.keys(), "gaps by step", gaps)
        for gap in gaps.values():
            holds = (
                isinstance(gap, dict)
                and {"text"} <= gap.keys() <= {"text", "rstrip", "lstrip"}
                and self._is_text(gap["text"], least=0)
                and all(self._is_strip(gap[key]) for key in gap.keys() - {"text"})
            )
            self._require(holds, "a gap of text, rstrip and lstrip", gap)
        return {step: Gap(**gap) for step, gap in gaps.items()}

    def _cut(self, cut: Any) -> dict[str, tuple[str, str]]:
        self._require(isinstance(cut, dict) and cut.keys() <= set(ROLES), "cut by role", cut)
        for rule in cut.values():
            holds = (
                isinstance(rule, list)
                and len(rule) == 2
                and self._is_text(rule[0])
                and self._is_strip(rule[1])
            )
            self._require(holds, "cut of a text and lstrip", rule)
        return {role: (text, lstrip) for role, (text, lstrip) in cut.items()}

    def _excluded(self, excluded: Any) -> dict[str, tuple[str, ...]]:
        holds = isinstance(excluded, dict) and excluded.keys() <= set(ROLES)
        self._require(holds, "excluded by role", excluded)
        return {role: self._texts(texts, "excluded") for role, texts in excluded.items()}

    def _filled(self, filled: Any) -> tuple[str, ...]:
        roles = self._texts(filled, "filled")
        self._require(set(roles) <= set(ROLES), "filled: a list of roles", filled)
        return roles

    def _texts(self, texts: Any, what: str) -> tuple[str, ...]:
        holds = isinstance(texts, list) and len(texts) <= MAX_EXCLUDED
        self._require(holds and all(map(self._is_text, texts)), f"{what}: a list of texts", texts)
        return tuple(texts)

    @staticmethod
    def _is_text(value: Any, least: int = 1) -> bool:
        return isinstance(value, str) and least <= len(value) <= MAX_TEXT

    def _is_strip(self, value: Any) -> bool:
        return value is None or self._is_text(value, least=0)

    def _require(self, holds: bool, expected: str, found: Any) -> None:
        if not holds:
            raise FormatError(f"{self._where}: expected {expected}, found {found!r:.60}")
