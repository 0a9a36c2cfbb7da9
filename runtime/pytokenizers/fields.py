"""The fields of a JSON object, checked: each error says what, where, expected and found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edge.errors import FormatError

MAX_NESTING = 8  # sequences in sequences; real files have one
T = TypeVar("T")


class Fields:
    """A JSON object and the path that leads to it."""

    def __init__(self, value: Any, where: str):
        if not isinstance(value, dict):
            raise FormatError(f"{where}: expected an object, found {value!r:.60}")
        self.value: dict[str, Any] = value
        self.where = where

    def error(self, name: str, expected: str) -> FormatError:
        found = repr(self.value[name])[:60] if name in self.value else "nothing"
        return FormatError(f"{self.where}.{name}: expected {expected}, found {found}")

    def text(self, name: str, default: str | None = None) -> str:
        value = self.value.get(name, default)
        if not isinstance(value, str):
            raise self.error(name, "text")
        return value

    def text_or_none(self, name: str) -> str | None:
        return None if self.value.get(name) is None else self.text(name)

    def character(self, name: str) -> str:
        if len(value := self.text(name)) != 1:
            raise self.error(name, "one character")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        value = self.value.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def number(self, name: str, most: int) -> int:
        value = self.value.get(name)
        if type(value) is not int or not 0 <= value <= most:
            raise self.error(name, f"0..{most}")
        return value

    def items(self, name: str) -> list[Fields]:
        if not isinstance(value := self.value.get(name), list):
            raise self.error(name, "a list")
        return [Fields(item, f"{self.where}.{name}[{i}]") for i, item in enumerate(value)]

    def inner(self, name: str) -> Fields | None:
        """The object of that name; None where there is none or it is null."""
        value = self.value.get(name)
        return None if value is None else Fields(value, f"{self.where}.{name}")

    def choice(self, name: str, choices: Mapping[str, T], default: str | None = None) -> T:
        value = self.value.get(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self.error(name, f"one of {', '.join(choices)}")
        return choices[value]


Build = Callable[[Fields], Any]


def steps(part: Fields | None, kinds: Mapping[str, Build], members: str) -> list[Any]:
    """The steps of a component: none, one, or a Sequence's, whose list is named `members`."""
    return [] if part is None else _steps(part, {"Sequence": _refused, **kinds}, members, 0)


def _steps(part: Fields, kinds: Mapping[str, Build], members: str, depth: int) -> list[Any]:
    build = part.choice("type", kinds)
    if build is not _refused:
        return [build(part)]
    if depth == MAX_NESTING:
        raise FormatError(f"{part.where}: more than {MAX_NESTING} sequences in each other")
    inner = part.items(members)
    return [step for item in inner for step in _steps(item, kinds, members, depth + 1)]


def _refused(part: Fields) -> Any:
    raise AssertionError("a sequence is taken apart, not built")
