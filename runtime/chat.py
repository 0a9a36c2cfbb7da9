"""Conversations as the model was trained to read them: its own chat template, or a plain one.

A template turns messages into text with special tokens in it.  What people write must not become
one: before rendering, MARK goes behind the first character of every special token that a message
spells out, so that the rendered text has only the template's own; encoding leaves the marks out.
What is not special to the tokenizer (Qwen's "<think>") passes: it is text to the model as well.

A template is a program and needs jinja2.  Where that is not installed, the pattern that `edge export`
has found in the template (edge/format/chat_pattern.py) writes the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from edge.errors import EdgeError, FormatError
from edge.format.chat_pattern import NEEDS_JINJA, PATTERN, ChatPattern
from edge.format.chat_template import MARK, TEMPLATE, ChatTemplate, Message
from edge.format.reader import EdgeFile

from .tokenizer import Tokenizer

__all__ = ["ChatFormat", "Message"]

ROLE = re.compile(r"[\w-]{1,64}")  # a word: templates build special tokens from it
PLAIN_STOPS = ("\nUser:",)


class ChatFormat:
    """Messages -> token ids.  `stops` are strings that end an answer besides the end tokens."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | ChatPattern | None = None):
        self._tokenizer = tokenizer
        self._template = template
        self.stops = PLAIN_STOPS if template is None else ()
        spelled = "|".join(re.escape(s) for s in tokenizer.special.values() if len(s) > 1)
        self._special = re.compile(f"(?=(?:{spelled}))(.)") if spelled else None

    @classmethod
    def of(cls, file: EdgeFile, tokenizer: Tokenizer) -> ChatFormat:
        """The file's format.  Raises FormatError if its template is broken, EdgeError if only
        jinja2 can render it and that is not installed."""
        return cls(tokenizer, _template(file) if TEMPLATE in file else None)

    @property
    def has_template(self) -> bool:
        return self._template is not None

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation, up to where the model's answer begins."""
        text = self.render([self._marked(message) for message in messages])
        ids = self._tokenizer.encode_marked(text, MARK)
        if self._tokenizer.add_bos and ids[:1] != [self._tokenizer.bos]:
            ids = [*self._tokenizer.encode("", bos=True), *ids]
        return ids

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a conversation.  Raises EdgeError if the template refuses the messages."""
        if self._template is None:
            return _plain(messages)
        if isinstance(self._template, ChatPattern):
            return self._template.render(messages)
        spelling, eos = self._tokenizer.spelling, next(iter(self._tokenizer.eos), None)
        return self._template.render(messages, spelling(self._tokenizer.bos), spelling(eos))

    def _marked(self, message: Message) -> dict[str, Any]:
        """The message with MARK inside special tokens that its texts spell out."""
        role, content = message.get("role"), message.get("content")
        if not isinstance(content, str) or not isinstance(role, str) or not ROLE.fullmatch(role):
            raise EdgeError(f"message {dict(message)!r:.80}: expected a role and a content, texts")
        if self._special is None:
            return dict(message)
        return {
            key: self._special.sub(rf"\1{MARK}", value.replace(MARK, ""))
            if isinstance(value, str)
            else value
            for key, value in message.items()
        }


def _plain(messages: Sequence[Message]) -> str:
    """For models without a template: a dialogue in words."""
    lines = [f"{m['role'].capitalize()}: {m['content'].strip()}\n" for m in messages]
    return "".join(lines) + "Assistant:"


def _template(file: EdgeFile) -> ChatTemplate | ChatPattern:
    try:
        return ChatTemplate(file.read_bytes(TEMPLATE).decode())
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(f"{file.path}: {TEMPLATE}: {error}") from None
    if PATTERN in file:
        return ChatPattern.from_json(file.read_bytes(PATTERN), f"{file.path}: {PATTERN}")
    raise EdgeError(f"{file.path}: the model's chat template needs jinja2: {NEEDS_JINJA}")
