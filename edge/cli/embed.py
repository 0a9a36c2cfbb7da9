"""edge embed: texts as vectors, a line each."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from . import limits, opening
from .progress import Progress
from .terminal import is_terminal, note, piped
from .usage import UsageError

if TYPE_CHECKING:
    import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    parser.add_argument(
        "texts", metavar="TEXT", nargs="*", help="if none is given: the lines that are piped in"
    )
    opening.add_threads(parser)
    limits.add_limits(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    texts = args.texts or _lines()
    with opening.open_embedder(args) as embedder, Progress("embedding") as progress:
        started = time.perf_counter()
        ids = embedder.tokenize(texts)
        vectors = embedder.embed(ids, progress)
        seconds = time.perf_counter() - started
        dimension = embedder.dimension
    rows = [_numbers(vector) for vector in vectors]
    if args.json:
        print(
            json.dumps({"dimension": dimension, "tokens": list(map(len, ids)), "embeddings": rows})
        )
        return 0
    for row in rows:
        print(json.dumps(row))
    if texts:
        tokens = sum(map(len, ids))
        note(f"{len(texts)} texts, {tokens} tokens · {tokens / seconds:.0f} tok/s")
    return 0


def _lines() -> list[str]:
    if is_terminal(sys.stdin):
        raise UsageError("no TEXT to embed, and nothing is piped in; see edge embed --help")
    return piped().splitlines()


def _numbers(vector: np.ndarray) -> list[float]:
    """The shortest decimal fractions that are these float32."""
    return [float(str(value)) for value in vector]
