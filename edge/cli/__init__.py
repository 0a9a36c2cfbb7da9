"""The command line: `edge VERB ...`."""

import argparse
import difflib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

import edge
from edge.errors import EdgeError

from .terminal import note
from .usage import FALSE, Parser, UsageError, add_twins

VERBS = {  # a module of this package each, imported when called
    "export": "turn a model into an .edge file",
    "advise": "say which recipe suits a model and a device, and why",
    "run": "answer one prompt",
    "chat": "talk to a model",
    "embed": "turn texts into vectors",
    "show": "what an .edge file holds, and whether it fits here",
    "verify": "check every byte of an .edge file",
    "bench": "measure speed, bandwidth and memory",
    "eval": "measure perplexity, alone or against another model",
    "compile": "compile kernels ahead of time for a device",
    "doctor": "what this device is, and whether its kernels compute correctly",
    "monitor": "watch power, temperature, clocks and throttling",
}
ALIASES = {"convert": "export", "quantize": "export"}
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _outcome(arguments)
    finally:
        _close_output()


def _outcome(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a character shows "?"
            stream.reconfigure(errors="replace")
    try:
        return _command(arguments)
    except SystemExit as done:  # --help, --version
        return done.code if isinstance(done.code, int) else DONE
    except KeyboardInterrupt:
        return _failure("interrupted", INTERRUPTED)
    except UsageError as error:
        return _failure(str(error), USAGE)
    except Exception as error:  # noqa: BLE001 - here errors become text
        if _debugging(arguments):
            traceback.print_exc()
        return _failure(_message(error), FAILED)


def _command(arguments: list[str]) -> int:
    at = next((i for i, a in enumerate(arguments) if not a.startswith("-")), len(arguments))
    if at == len(arguments):
        parser = _overview()
        parser.parse_args(arguments)  # --help, --version
        parser.print_help(sys.stderr)
        return USAGE
    verb = ALIASES.get(arguments[at], arguments[at])
    if verb not in VERBS:
        raise UsageError(_unknown(verb))
    module = import_module(f".{verb}", __package__)
    parser = Parser(prog=f"edge {arguments[at]}", description=f"{VERBS[verb]}.")
    module.add_arguments(parser)
    _add_debug(parser)
    add_twins(parser)
    # Intermixed: `edge run MODEL --raw "a prompt"` is as good as with the prompt in front.
    args, unknown = parser.parse_known_intermixed_args(arguments[:at] + arguments[at + 1 :])
    if unknown:
        raise UsageError(f"unknown arguments: {' '.join(unknown)}; see edge {verb} --help")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        code: int = module.command(args)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    note(f"edge: {message}")


def _overview() -> Parser:
    """The parser of `edge --help` and `edge --version`."""
    parser = Parser(prog="edge", description=edge.__doc__)
    parser.add_argument("--version", action="version", version=f"edge {edge.__version__}")
    _add_debug(parser)
    verbs = parser.add_subparsers(metavar="VERB")
    for name, summary in VERBS.items():
        known_as = [alias for alias, of in ALIASES.items() if of == name]
        verbs.add_parser(name, aliases=known_as, help=summary)
    return parser


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show where an error came from",
    )


def _debugging(arguments: list[str]) -> bool:
    return "--debug" in arguments or os.environ.get("EDGE_DEBUG", "").lower() not in FALSE


def _unknown(verb: str) -> str:
    near = difflib.get_close_matches(verb, [*VERBS, *ALIASES], 1)
    hint = f"did you mean {near[0]}?" if near else "see edge --help"
    return f"no verb {verb!r:.40}; {hint}"


def _message(error: Exception) -> str:
    """What went wrong, where, and what to do about it."""
    if isinstance(error, EdgeError):
        return str(error)
    if isinstance(error, BrokenPipeError):
        return "nobody reads the output any more (stdout); the work was left unfinished"
    if isinstance(error, MemoryError):
        return "out of memory; choose a smaller context (-c) or a smaller model"
    if isinstance(error, OSError):
        return _system_message(error)
    return (
        f"a mistake in edge itself: {type(error).__name__}: {error}; "
        "please report it with the output of --debug"
    )


def _system_message(error: OSError) -> str:
    if error.strerror is None:
        return str(error)
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror}{where}; check the path and its permissions"


def _failure(message: str, code: int) -> int:
    line = " ".join(message.split())  # whatever a library put into it, one line
    print(f"edge: error: {line}" if code != INTERRUPTED else "edge: interrupted", file=sys.stderr)
    return code


def _close_output() -> None:
    """Write out what is left; a reader that is gone must not become a traceback at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
