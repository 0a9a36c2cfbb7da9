"""edge eval: how well a model predicts a text, alone or beside another."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError

from . import domains, opening
from .progress import Progress
from .terminal import note
from .usage import whole

if TYPE_CHECKING:
    from edge.format.reader import EdgeFile
    from edge.runtime.model import Model
    from edge.runtime.perplexity import Evaluation

    from .domains import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    add = parser.add_argument
    domains.add_arguments(parser)
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
    found = _evaluate(args)
    print(_document(found) if args.json else _summary(found))
    for text in domains.warnings(found):
        note(f"warning: {text}")
    return 0


def _evaluate(args: argparse.Namespace) -> list[Row]:
    """A row for every text."""
    from edge.opening import open_as
    from edge.runtime.perplexity import slice_tokens

    files = [open_as(path, "decoder") for path in (args.model, args.against) if path]
    texts = domains.read(args.text, args.calibrated_on, files[0].document.get("calibration"))
    tokens = [_tokens(files, domain.text) for domain in texts]
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
        found = [_of_text(args, models, ids, bos) for ids, bos in tokens]
    return domains.rows(texts, found)


def _of_text(
    args: argparse.Namespace, models: list[Model], ids: list[int], bos: int | None
) -> Evaluation:
    from edge.runtime.perplexity import evaluate

    with Progress("evaluating") as progress:
        return evaluate(
            models[0],
            ids,
            ctx=args.ctx,
            bos=bos,
            chunks=args.chunks,
            reference=models[1] if args.against else None,
            progress=lambda done, total, perplexity: progress(done, total),
        )


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


def _document(found: list[Row]) -> str:
    """Of one text its figures; of several the figures of all, and a row each."""
    from edge.runtime.perplexity import together

    document: dict[str, Any] = asdict(together([row.evaluation for row in found]))
    if len(found) > 1:
        document["domains"] = [row.to_json() for row in found]
    return json.dumps(document)


def _summary(found: list[Row]) -> str:
    if len(found) > 1:
        return "\n".join(domains.table(found))
    result = found[0].evaluation
    scored = f"{result.tokens} tokens scored, windows of {result.ctx}"
    lines = [f"perplexity {result.perplexity:.4f} ({scored})"]
    if result.kl_mean is not None:
        lines.append(
            f"KL divergence {result.kl_mean:.5f} ± {result.kl_standard_error:.5f} nats a token"
        )
        lines.append(
            f"same likeliest token {result.top1_agreement:.2%} ± {result.top1_standard_error:.2%}"
        )
    return "\n".join(lines)
