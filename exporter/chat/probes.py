"""Probe conversations: what stands between two contents is the gap of a step.

A probe's contents occur nowhere else, so that they can be found in the template's text.  Rendered
again with white space around them, they tell what is stripped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product

from edge.errors import EdgeError
from edge.format.chat_pattern import DATE, END, ROLES, START, ChatPattern, Gap
from edge.format.chat_template import ChatTemplate, Message

PROBE = 4  # messages of the longest walk that steps are looked for in
WALK = 5  # messages of the longest walk that is checked, every one of them
TURNS = 11  # messages of longer ones, where users and assistants take turns
PADDING = "\n \t \n"
MAX_SECONDS = 60  # for one template; most take one
STRIPS = "", "\n", None  # arguments of str.strip
CORE = [("user",), ("user", "assistant", "user")]
SYSTEM = [("system", "user"), ("system", "user", "assistant", "user")]

Walk = Sequence[str]  # roles


class NoPattern(EdgeError):
    """The template does what no pattern says; the message is why."""


class Reference:
    """A template with its tokens.

    `strftime` is the day it sees.  Without one, the day is DATE and `formats` is how it was asked.
    """

    def __init__(
        self, template: str, bos: str, eos: str, strftime: Callable[[str], str] | None = None
    ):
        self.formats: set[str] = set()
        self._tokens = bos, eos
        self._strftime = strftime or self._date
        self._template = ChatTemplate(template, self._strftime)
        self._deadline = time.monotonic() + MAX_SECONDS
        self.literals, self.operands = self._template.literals(), self._template.operands()

    def _date(self, format: str) -> str:
        self.formats.add(format)
        return DATE

    def render(self, messages: Sequence[Message]) -> str | None:
        """The text; None if the template refuses the messages."""
        if time.monotonic() > self._deadline:
            raise NoPattern(f"it was not understood in {MAX_SECONDS} seconds")
        try:
            return self._template.render(messages, *self._tokens)
        except EdgeError:
            return None

    def agrees(self, pattern: ChatPattern, messages: Sequence[Message]) -> bool:
        """Whether both write the same, or the pattern claims nothing."""
        try:
            text = pattern.render(messages, self._strftime)
        except EdgeError:
            return True
        return text == self.render(messages)


def claims(pattern: ChatPattern, messages: Sequence[Message]) -> bool:
    try:
        pattern.render(messages)
    except EdgeError:
        return False
    return True


def conversation(walk: Walk, padding: str = "") -> list[Message]:
    """Messages of these roles, each with a content of its own."""
    return [
        {"role": role, "content": f"{padding}qZ{i:02}Wx{padding}"} for i, role in enumerate(walk)
    ]


def replaced(messages: Sequence[Message], text: str, roles: Iterable[str]) -> list[Message]:
    """The conversation in which these roles say the text."""
    return [{**m, "content": text} if m["role"] in roles else m for m in messages]


def is_markup(text: str) -> bool:
    """Whether nobody writes this by chance."""
    return len(text.strip()) >= 4 and not all(c.isalnum() or c.isspace() for c in text)


def walks() -> Iterator[list[Message]]:
    """Conversations of every order of roles, and two long ones."""
    turns = [("user", "assistant")[i % 2] for i in range(TURNS)]
    for n in range(1, WALK + 1):
        yield from map(conversation, product(ROLES, repeat=n))
    yield from map(conversation, (turns, ["system", *turns]))


def steps(reference: Reference) -> ChatPattern:
    """A pattern of turns, and of a system message if it may be.  Raises NoPattern without turns."""
    pattern = _extended(ChatPattern({}), CORE, reference)
    try:
        return _extended(pattern, SYSTEM, reference)
    except NoPattern:
        return pattern


def more_steps(pattern: ChatPattern, reference: Reference) -> ChatPattern:
    """The pattern with all other steps that prove themselves, whatever is said."""
    texts = sorted(filter(is_markup, reference.operands))
    for n in range(1, PROBE + 1):
        for walk in product(ROLES, repeat=n):
            if not claims(pattern, conversation(walk)):
                try:
                    pattern = _extended(pattern, [walk], reference, texts)
                except NoPattern:
                    continue
    return pattern


def _extended(
    pattern: ChatPattern, group: Sequence[Walk], reference: Reference, texts: Sequence[str] = ()
) -> ChatPattern:
    """The pattern with the steps of these walks.  Raises NoPattern if it is wrong then."""
    longer = pattern
    for walk in group:
        longer = _with_steps(longer, walk, reference)
    moved = longer.system != pattern.system
    for messages in walks():
        if not moved and claims(pattern, messages):
            continue
        if not all(reference.agrees(longer, m) for m in _variants(messages, texts)):
            roles = ", ".join(message["role"] for message in messages)
            raise NoPattern(f"a conversation of {roles} depends on more than its steps")
    return longer


def _variants(messages: list[Message], texts: Iterable[str]) -> Iterator[list[Message]]:
    """The conversation, also padded, and if it is short with these texts in contents."""
    yield messages
    yield conversation([message["role"] for message in messages], PADDING)
    if len(messages) > PROBE:
        return
    for text, roles in product(texts, (("user",), ("assistant",), ROLES)):
        yield replaced(messages, f"x{text}y", roles)


def _with_steps(pattern: ChatPattern, walk: Walk, reference: Reference) -> ChatPattern:
    messages = conversation(walk)
    plain = reference.render(messages)
    padded = reference.render(conversation(walk, PADDING))
    if plain is None or padded is None:
        raise NoPattern(f"it refuses a conversation of {', '.join(walk)}")
    contents = [message["content"] for message in messages]
    if any(text.count(content) != 1 for content in contents for text in (plain, padded)):
        raise NoPattern("it changes contents, or writes them never or twice")
    order = sorted(range(len(walk)), key=lambda i: plain.index(contents[i]))
    roles = [START, *(walk[i] for i in order), END]
    between = zip(_between(plain, contents, order), _between(padded, contents, order), strict=True)
    gaps = dict(pattern.gaps)
    for step, texts in zip(pairwise(roles), between, strict=True):
        gap = _gap(*texts, at_start=step[0] == START, at_end=step[1] == END)
        if gaps.setdefault(" ".join(step), gap) != gap:
            raise NoPattern(f"what stands between {step[0]} and {step[1]} varies")
    return replace(pattern, gaps=gaps, system=_place(pattern, walk, order))


def _place(pattern: ChatPattern, walk: Walk, order: Sequence[int]) -> str:
    """Where the system message is written, seen from the order of contents."""
    if list(order) == list(range(len(walk))):
        return pattern.system
    last = max((i for i, role in enumerate(walk) if role == "user"), default=0)
    if walk[0] != "system" or list(order) != [*range(1, last), 0, *range(last, len(walk))]:
        raise NoPattern("it writes messages in another order")
    return "last"


def _between(text: str, contents: Sequence[str], order: Sequence[int]) -> list[str]:
    """The texts before, between and behind contents."""
    pieces = []
    for i in order:
        piece, _, text = text.partition(contents[i])
        pieces.append(piece)
    return [*pieces, text]


def _gap(plain: str, padded: str, at_start: bool, at_end: bool) -> Gap:
    """The gap that reads like this between contents, and between padded ones."""
    for rstrip, lstrip in product(STRIPS, repeat=2):
        left = "" if at_start else PADDING.rstrip(rstrip)
        right = "" if at_end else PADDING.lstrip(lstrip)
        if padded == left + plain + right:
            return Gap(plain, rstrip, lstrip)
    raise NoPattern("it changes white space inside")
