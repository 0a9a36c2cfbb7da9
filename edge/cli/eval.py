"""edge eval: how well a model predicts a text, alone or beside another."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError

from . import opening
from .progress import Progress
from .usage import whole

if TYPE_CHECKING:
    from edge.format.reader import EdgeFile
    from edge.runtime.perplexity import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    add = parser.add_argument
    add("--text", metavar="FILE", required=True, help="the text to predict, UTF-8")
    add(
        "--ctx",
        type=whole(4),
        default=512,
        metavar="N",
        help="tokens of a window; 512 if not given",
    )
    add("--chunks", type=whole(1), metavar="N", help="only the first N windows")
    add("--against", metavar="OTHER", help="another .edge file: KL divergence from it, agreement")
    opening.add_threads(parser)
    opening.add_kv(parser)
    add("--json", action="store_true", help="one JSON document")


def command(args: argparse.Namespace) -> int:
    result = _evaluate(args)
    print(json.dumps(asdict(result)) if args.json else _summary(result))
    return 0


def _evaluate(args: argparse.Namespace) -> Evaluation:
    from edge.format.reader import EdgeFile
    from edge.runtime.perplexity import evaluate, slice_tokens

    files = [EdgeFile(path) for path in (args.model, args.against) if path]
    tokens, bos = _tokens(files, _read(args.text))
    settings = {
        "threads": args.threads,
        "context": args.ctx,
        "kv": args.kv,
        "outputs": slice_tokens(files[0].config.vocabulary),
    }
    with ExitStack() as stack:
        models = [
            stack.enter_context(opening.open_model(str(file.path), **settings)) for file in files
        ]
        progress = stack.enter_context(Progress("evaluating"))
        return evaluate(
            models[0],
            tokens,
            ctx=args.ctx,
            bos=bos,
            chunks=args.chunks,
            reference=models[1] if args.against else None,
            progress=lambda done, total, perplexity: progress(done, total),
        )


def _read(path: str) -> str:
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if not text:
        raise EdgeError(f"the text is empty ({path}); give a file with a few thousand words")
    return text


def _tokens(files: list[EdgeFile], text: str) -> tuple[list[int], int | None]:
    """The text's ids and what begins a window; all models must read the text the same way."""
    from edge.runtime.tokenizer import Tokenizer

    tokenizers = [Tokenizer.of(file) for file in files]
    ids = [tokenizer.encode(text, bos=True) for tokenizer in tokenizers]
    if ids[0] != ids[-1]:
        raise EdgeError(
            f"{files[0].path} and {files[-1].path} read the text as different tokens; "
            "only models with the same tokenizer can be compared"
        )
    return ids[0], tokenizers[0].bos if tokenizers[0].add_bos else None


def _summary(result: Evaluation) -> str:
    scored = f"{result.tokens} tokens scored, windows of {result.ctx}"
    lines = [f"perplexity {result.perplexity:.4f} ({scored})"]
    if result.kl_mean is not None and result.top1_agreement is not None:
        lines.append(f"KL divergence {result.kl_mean:.5f} nats a token")
        lines.append(f"same likeliest token {result.top1_agreement:.2%}")
    return "\n".join(lines)
