"""Conversations as the model was trained to read them: its own chat template, or a plain one.

A template turns messages into text with special tokens in it.  What people write must not become
one: before rendering, MARK goes behind the first character of every special token that a message
spells out, so that the rendered text has only the template's own; encoding leaves the marks out.
What is not special to the tokenizer (Qwen's "<think>") passes: it is text to the model as well.

Templates come with models and are programs, so they run in Jinja's sandbox, as in transformers:
no files, no imports, no attributes that begin with an underscore, bounded source and output.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError, FormatError
from edge.format.reader import EdgeFile

from .tokenizer import Tokenizer

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "chat_template.jinja"
MARK = "\U000f0edc"  # a private use character: no text means anything by it
ROLE = re.compile(r"[\w-]{1,64}")  # a word: templates build special tokens from it
MAX_SOURCE, MAX_OUTPUT = 2**18, 2**24  # characters
PLAIN_STOPS = ("\nUser:",)

Message = Mapping[str, Any]  # {"role": ..., "content": ...}


class ChatFormat:
    """Messages -> token ids.  `stops` are strings that end an answer besides the end tokens."""

    def __init__(self, tokenizer: Tokenizer, template: str | None = None):
        self._tokenizer = tokenizer
        self._template = _compile(template) if template is not None else None
        self.stops = PLAIN_STOPS if template is None else ()
        spelled = "|".join(re.escape(s) for s in tokenizer.special.values() if len(s) > 1)
        self._special = re.compile(f"(?=(?:{spelled}))(.)") if spelled else None

    @classmethod
    def of(cls, file: EdgeFile, tokenizer: Tokenizer) -> ChatFormat:
        """The file's format.  Raises FormatError if its template is broken."""
        if TEMPLATE not in file:
            return cls(tokenizer)
        try:
            return cls(tokenizer, file.read_bytes(TEMPLATE).decode())
        except (FormatError, UnicodeDecodeError) as error:
            raise FormatError(f"{file.path}: {TEMPLATE}: {error}") from None

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
        spelling = self._tokenizer.spelling
        pieces = self._template.generate(
            messages=messages,
            add_generation_prompt=True,
            bos_token=spelling(self._tokenizer.bos),
            eos_token=spelling(next(iter(self._tokenizer.eos), None)),
            tools=None,
            documents=None,
        )
        return "".join(_guarded(pieces))

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


def _compile(source: str) -> jinja2.Template:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if len(source) > MAX_SOURCE:
        raise FormatError(f"template of {len(source)} characters, expected at most {MAX_SOURCE}")

    class Environment(ImmutableSandboxedEnvironment):
        """Multiplication is looked at first: it can make gigabytes of one character."""

        intercepted_binops = frozenset(["*", "**"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sizes = [len(x) if isinstance(x, str | list | tuple) else abs(x) for x in (left, right)]
            if operator == "**" or sizes[0] * sizes[1] > MAX_OUTPUT:
                raise EdgeError(f"the chat template computes something huge ({operator})")
            return super().call_binop(context, operator, left, right)

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    try:
        return environment.from_string(source)
    except (TemplateError, RecursionError, ValueError, ArithmeticError, MemoryError) as error:
        raise FormatError(f"not a valid Jinja template: {error}") from None


def _guarded(pieces: Iterator[str]) -> Iterator[str]:
    """Pieces of a rendering, up to MAX_OUTPUT; what goes wrong inside becomes an EdgeError."""
    from jinja2 import TemplateError

    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            if size > MAX_OUTPUT:
                raise EdgeError(f"the chat template writes more than {MAX_OUTPUT} characters")
            yield piece
    except (*_TEMPLATE_ERRORS, TemplateError) as error:
        message = str(error) or type(error).__name__
        raise EdgeError(f"the model's chat template refuses the messages: {message}") from None


_TEMPLATE_ERRORS = (  # any of Python's operators can fail in a template
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _to_json(value: Any, **options: Any) -> str:
    """Without jinja2's own escaping of HTML, as in transformers."""
    return json.dumps(value, **({"ensure_ascii": False} | options))


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _now(format: str) -> str:
    return datetime.now().strftime(format)
