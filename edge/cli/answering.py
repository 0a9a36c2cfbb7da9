"""Answers: the flags that shape them, their text as it comes, and the footer below."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from . import quantities
from .memory import peak_rss
from .progress import Progress
from .terminal import note, printable
from .usage import number, whole

if TYPE_CHECKING:
    from edge.session import Options
    from edge.watch import WatchedAnswer


def add_sampling(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-n", "--n-predict", type=whole(-1), metavar="N", help="at most N tokens; -1: no limit")
    add("--temp", type=number(0), metavar="T", help="temperature; 0: always the likeliest token")
    add("--top-k", type=whole(0), metavar="K", help="draw from the K likeliest tokens; 0: all")
    add("--top-p", type=number(0, 1, above=True), metavar="P", help="... that make up P together")
    add("--min-p", type=number(0, 1), metavar="P", help="... at least P times the likeliest")
    add("--repeat-penalty", type=number(0, above=True), metavar="R", help="against repetition")
    add("-s", "--seed", type=whole(-1), metavar="SEED", help="draw the same way again; -1: random")
    add("--stop", action="append", metavar="TEXT", help="end the answer here (repeatable)")


def options(args: argparse.Namespace, progress: Progress) -> Options:
    """What the flags say; None where the model's own settings are to be used."""
    return {
        "max_tokens": args.n_predict if (args.n_predict or 0) >= 0 else None,
        "temperature": args.temp,
        "top_k": args.top_k,
        "top_p": args.top_p,
        "min_p": args.min_p,
        "repeat_penalty": args.repeat_penalty,
        "seed": args.seed if (args.seed or 0) >= 0 else None,
        "stop": args.stop or (),
        "progress": progress,
    }


def reading() -> Progress:
    """The bar for long prompts."""
    return Progress("reading the prompt", lambda tokens: f"{tokens:.0f} tok")


def show(answer: WatchedAnswer) -> bool:
    """Print an answer as it comes, and its footer; False if Ctrl-C ended it."""
    finished, last = True, "\n"
    try:
        for piece in answer:
            print(printable(piece), end="", flush=True)
            last = piece
    except KeyboardInterrupt:
        finished = False
    if not last.endswith("\n"):
        print(flush=True)
    sys.stdout.flush()
    note(footer(answer))
    return finished


def footer(answer: WatchedAnswer) -> str:
    """12.1 tok/s · prefill 210 tok/s · 2.3 J/tok (pmic) · 61 °C · not throttled · 149 MB"""
    timings, parts = answer.timings, []
    if timings.decode_tok_s is not None:
        parts.append(f"{timings.decode_tok_s:.1f} tok/s")
    if timings.prefill_tok_s is not None:
        parts.append(f"prefill {timings.prefill_tok_s:.0f} tok/s")
    parts += _felt(answer)
    rss = peak_rss()
    if rss is not None:
        parts.append(quantities.size(rss))
    return " · ".join(parts)


def _felt(answer: WatchedAnswer) -> list[str]:
    """What the device's sensors said; nothing of what they did not."""
    parts, joules = [], answer.joules_per_token
    if joules is not None and answer.decode is not None:
        parts.append(f"{joules:.2g} J/tok ({answer.decode.energy.source})")
    if answer.temperature_c is not None:
        parts.append(f"{answer.temperature_c:.0f} °C")
    if answer.whole is not None and answer.whole.throttled_s is not None:
        parts.append(answer.whole.throttling)
    return parts
