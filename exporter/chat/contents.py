"""Contents that a template might treat in a special way, and what a pattern claims of them.

A program can only look for texts that it holds, so all of those are tried as contents, alone, amid
other text and in pairs, besides white space, braces and marks.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product

from edge.format.chat_pattern import MAX_EXCLUDED, ROLES, ChatPattern
from edge.format.chat_template import MARK, Message

from .probes import (
    PADDING,
    STRIPS,
    TURNS,
    NoPattern,
    Reference,
    conversation,
    is_markup,
    replaced,
    walks,
)

MIXED = 2000  # conversations at random
BLANKS = ("", PADDING)
PLAIN = (
    "a\nb\n\nc",
    "\n\nx\n",
    "x\r\n",
    "\u00a0\u3000x\u2028",
    "{{ x }} {% if y %} {# z #} {0} %s \\n \\",
    "<b>&amp;'\"",
    f"x<{MARK}|end|>y",
    "1",
    "é ß 中文 👍",
    "x" * 5000,
)
SPEAKERS = [*((role,) for role in ROLES), ROLES]
WALKS = (
    ("user",),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user"),
    ("user", "assistant", "user", "assistant", "user"),
)


def claimed_contents(pattern: ChatPattern, reference: Reference) -> ChatPattern:
    """The pattern with claims that hold for all contents tried.  Raises NoPattern."""
    if not all(reference.agrees(pattern, m) for text in PLAIN for m in _saying(text)):
        raise NoPattern("it changes contents")
    literals = sorted(filter(str.strip, reference.literals), key=lambda text: (len(text), text))
    for literal, role in product(literals, ROLES):
        if not _holds(pattern, literal, reference, (role,)):
            pattern = _with_claim(pattern, literal, reference, role)
    pattern = _with_pairs(pattern, reference)
    for literal, roles in product(literals, SPEAKERS):  # a later claim may spoil an earlier one
        if not _holds(pattern, literal, reference, roles):
            raise NoPattern(f"it looks for {literal!r:.40} in contents")
    return pattern


def _with_claim(pattern: ChatPattern, literal: str, reference: Reference, role: str) -> ChatPattern:
    """The pattern with a cut at this text, or without contents that have it."""
    for lstrip in STRIPS if role not in pattern.cut else ():
        cutting = replace(pattern, cut={**pattern.cut, role: (literal, lstrip)})
        if _holds(cutting, literal, reference, (role,)):
            return cutting
    return _without(pattern, literal, role)


def _holds(
    pattern: ChatPattern, literal: str, reference: Reference, speakers: Sequence[str]
) -> bool:
    """Whether both write the same where these roles say this."""
    forms = (
        literal,
        f"x{literal}y",
        f"{literal}y",
        f"x{literal}",
        f"x\n{literal}\n\n y{literal}\nz",
        f"x{literal} \n y \n",
    )
    return all(reference.agrees(pattern, m) for form in forms for m in _saying(form, [speakers]))


def _with_pairs(pattern: ChatPattern, reference: Reference) -> ChatPattern:
    """The pattern without texts that mean something together, as a call and its end do."""
    answers = ["x", *(f"x{text}y" for text, _ in pattern.cut.values())]
    pairs = permutations(filter(is_markup, sorted(reference.operands)), 2)
    for (first, second), role in product(pairs, ROLES):
        text = f"{first}x{second}"
        said = [*_saying(text, [(role,)]), *(_answered(text, answers) if role == "user" else ())]
        if not all(reference.agrees(pattern, messages) for messages in said):
            pattern = _without(pattern, first, role)
    return pattern


def filled_contents(pattern: ChatPattern, reference: Reference) -> ChatPattern:
    """The pattern with `filled` for roles whose empty contents change more than themselves."""
    for role, blank in product(ROLES, BLANKS):
        blanks = (replaced(messages, blank, (role,)) for messages in walks())
        if not all(reference.agrees(pattern, messages) for messages in blanks):
            pattern = replace(pattern, filled=(*{*pattern.filled, role},))
    for blank in BLANKS:
        if not all(reference.agrees(pattern, replaced(m, blank, ROLES)) for m in walks()):
            pattern = replace(pattern, filled=ROLES)
    return replace(pattern, filled=tuple(r for r in ROLES if r in pattern.filled))


def _without(pattern: ChatPattern, text: str, role: str) -> ChatPattern:
    """The pattern with `text` excluded, unless people write it without meaning anything by it."""
    texts = (*pattern.excluded.get(role, ()), text)
    if not is_markup(text) or len(texts) > MAX_EXCLUDED:
        raise NoPattern(f"it looks for {text!r:.40} in contents")
    return replace(pattern, excluded={**pattern.excluded, role: texts})


def _saying(text: str, groups: Iterable[Sequence[str]] = SPEAKERS) -> Iterator[list[Message]]:
    """Conversations in which these roles say this."""
    for walk, roles in product(WALKS, groups):
        if not set(walk).isdisjoint(roles):
            yield replaced(conversation(walk), text, roles)


def _answered(text: str, answers: Iterable[str]) -> Iterator[list[Message]]:
    """Conversations in which every user, or the last, says this, and assistants the answers."""
    for walk, answer in product(WALKS, answers):
        messages = replaced(conversation(walk), answer, ("assistant",))
        yield replaced(messages, text, ("user",))
        yield [*messages[:-1], *replaced(messages[-1:], text, ("user",))]


def mixed(texts: Iterable[str]) -> Iterator[list[Message]]:
    """Conversations of turns and of any roles, which say whatever has been tried, at random."""
    operands, rng = sorted(texts), random.Random(0)
    turns = ["system", *("user", "assistant") * 4]
    for i in range(MIXED):
        walk = turns[rng.randint(0, 1) : 2 * rng.randint(1, 4)]
        if i % 2:
            walk = rng.choices(ROLES, k=rng.randint(1, TURNS))
        yield [{"role": role, "content": _any_content(operands, rng)} for role in walk]


def _any_content(operands: Sequence[str], rng: random.Random) -> str:
    first, second = rng.choices([*operands, "x"], k=2)
    forms = (first, f"x{first}y", f"{first}x{second}", f"{first}\nx\n{second}\n\ny ")
    return rng.choice([*forms, *PLAIN[:5], *BLANKS])
