"""The chat pattern of a template: found by rendering probes, kept only as far as it proves itself.

Turns of users and assistants come first, and a system message before them.  Then contents are
tried (contents.py): what the template does more about than writing it is cut or not claimed.  Last
come, one by one, whatever steps else the template may allow (probes.py); each stays if the pattern
writes the template's text for every walk that it opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import FormatError

from ..sources.tokenizer_json import load
from .derive import derive
from .probes import NoPattern

if TYPE_CHECKING:
    from edge.format.chat_pattern import ChatPattern

    from ..sources import TokenizerFiles

__all__ = ["NOTHING", "Found", "NoPattern", "derive", "find"]


@dataclass(frozen=True)
class Found:
    """What an export says of chats: "pattern", "jinja2" or "plain", and why."""

    kind: str
    pattern: ChatPattern | None = None
    notes: tuple[str, ...] = ()


NOTHING = Found("plain")


def find(tokenizer: TokenizerFiles) -> Found:
    """The pattern of a model's template, or the reason that there is none."""
    assert tokenizer.chat_template is not None
    names = load(tokenizer.json, "tokenizer.json")
    bos, eos = (
        "" if token is None else names.id_to_token(token) or ""
        for token in (tokenizer.bos, next(iter(tokenizer.eos), None))
    )
    try:
        return Found("pattern", derive(tokenizer.chat_template, bos, eos))
    except NoPattern as error:
        reason = str(error)
    except FormatError as error:
        reason = f"it is {error}"
    except ModuleNotFoundError as error:
        if error.name != "jinja2":
            raise
        reason = "jinja2 is not installed here to look into it"
    return Found("jinja2", notes=(f"the chat template needs jinja2 on the device: {reason}",))
