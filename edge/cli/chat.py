"""edge chat: a conversation."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from edge.errors import DeviceError, DoesNotFit

from . import answering, limits, opening
from .terminal import is_terminal, note

if TYPE_CHECKING:
    from edge.runtime.chat import Message
    from edge.session import Session

HELP = '''\
/bye      leave (so does Ctrl-D)
/clear    forget the conversation
/help     this list
"""       begins and ends a message of several lines
Ctrl-C    ends an answer'''
QUOTES = '"""'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    opening.add_threads(parser)
    opening.add_context(parser)
    opening.add_kv(parser)
    answering.add_sampling(parser)
    limits.add_limits(parser)


def command(args: argparse.Namespace) -> int:
    with opening.open_session(args) as session:
        if is_terminal(sys.stdin):
            _edit_lines()
            note(f"{args.model}: /help lists commands, Ctrl-D leaves")
        conversation = Conversation(session, args)
        while (line := _read()) is not None:
            if line in ("/bye", "/exit"):
                break
            conversation.take(line)
    return 0


class Conversation:
    """Messages so far; the oldest are left out when the context is too small for all."""

    def __init__(self, session: Session, args: argparse.Namespace):
        self._session, self._args = session, args
        self.messages: list[Message] = []

    def take(self, line: str) -> None:
        """Obey a command or answer a message."""
        if line in ("/help", "/?"):
            print(HELP, flush=True)
        elif line == "/clear":
            self.messages.clear()
        elif line.startswith("/") and line[1:].isalpha():
            note(f"no command {line}; /help lists them")
        elif line.strip():
            self._answer(line)

    def _answer(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})
        try:
            self._make_room()
            with answering.reading() as progress:
                options = answering.options(self._args, progress)
                answer = self._session.reply(self.messages, **options)
                answering.show(answer)
        except (DoesNotFit, DeviceError) as error:
            self.messages.pop()
            note(f"edge: error: {error}")
            return
        if answer.text:
            self.messages.append({"role": "assistant", "content": answer.text})
        else:  # ended before it began
            self.messages.pop()

    def _make_room(self) -> None:
        """Leave a quarter of the context, or what -n asks for, to the answer."""
        context = self._session.model.context
        wanted = min(max(self._args.n_predict or 0, 1), context // 2)
        room = context - max(wanted, context // 4)
        dropped = 0
        while len(self.messages) > 2 and self._tokens() > room:
            del self.messages[:2]  # a question and its answer
            dropped += 2
        if dropped:
            note(f"the context is full: the oldest {dropped} messages are left out")

    def _tokens(self) -> int:
        return len(self._session.chat_format.encode(self.messages))


def _edit_lines() -> None:
    """Arrow keys and history, where Python was built with them."""
    try:
        import readline  # noqa: F401
    except ImportError:
        pass


def _read() -> str | None:
    """The next message or command; None at the end of the input."""
    while True:
        try:
            line = _line(">>> ")
            if not line.startswith(QUOTES):
                return line
            return _quoted(line.removeprefix(QUOTES))
        except EOFError:
            if is_terminal(sys.stdin):
                print()
            return None
        except KeyboardInterrupt:
            note("\nCtrl-D or /bye leaves")


def _quoted(text: str) -> str:
    """The lines up to the closing quotes."""
    while not text.endswith(QUOTES):
        text += "\n" + _line("... ")
    return text.removesuffix(QUOTES).strip("\n")


def _line(prompt: str) -> str:
    return input(prompt if is_terminal(sys.stdin) else "")
