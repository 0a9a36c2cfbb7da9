"""Flags as every verb declares them: one-line errors, EDGE_* twins, numbers with bounds."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


class UsageError(Exception):
    """The command line cannot be understood; exit code 2."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse prints its usage and exits."""

    def __init__(self, **settings: Any):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def add_twins(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ) -> None:
    """Let EDGE_TOP_K stand for --top-k, and so on for every flag; a flag given beats its twin."""
    for action in parser._actions:
        name = twin(action)
        if name is None:
            continue
        action.help = f"{action.help or ''} [{name}]".lstrip()
        if environment.get(name):
            action.default = _value(action, name, environment[name])
            action.required = False


def twin(action: argparse.Action) -> str | None:
    """The environment variable of a flag, named after its first long option."""
    if action.dest in ("help", "version"):
        return None
    long = next((option for option in action.option_strings if option.startswith("--")), None)
    return long and "EDGE_" + long.removeprefix("--").replace("-", "_").upper()


def _value(action: argparse.Action, name: str, text: str) -> Any:
    """What the flag would have made of the text."""
    if action.nargs == 0:  # a switch
        if text.lower() not in TRUE + FALSE:
            raise UsageError(f"{name}={text!r:.40}; expected {' or '.join(TRUE + FALSE[:-1])}")
        return text.lower() in TRUE
    convert: Callable[[str], Any] = action.type if callable(action.type) else str
    try:
        value = convert(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{name}={text!r:.40}: {error}") from None
    if action.choices is not None and value not in action.choices:
        raise UsageError(f"{name}={text!r:.40}; choose from {', '.join(map(str, action.choices))}")
    return [value] if isinstance(action, argparse._AppendAction) else value


def whole(low: int) -> Callable[[str], int]:
    """A whole number of at least `low`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {low}, got {text!r:.40}"
            )
        return value

    return convert


def number(low: float, high: float = float("inf"), above: bool = False) -> Callable[[str], float]:
    """A number of `low` to `high`; `above`: but not `low` itself."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high or (above and value == low) or value == float("inf"):
            bound = f"{'above' if above else 'from'} {low:g}"
            bound += "" if high == float("inf") else f" to {high:g}"
            raise argparse.ArgumentTypeError(f"expected a number {bound}, got {text!r:.40}")
        return value

    return convert


def whole_list(low: int) -> Callable[[str], list[int]]:
    """Whole numbers with commas between."""

    def convert(text: str) -> list[int]:
        values: Sequence[str] = text.split(",")
        return list(dict.fromkeys(map(whole(low), values)))

    return convert
