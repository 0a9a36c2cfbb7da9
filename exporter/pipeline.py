"""Source model -> .edge: read, rename, quantize, write, one tensor in memory at a time."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.errors import DoesNotFit
from edge.format.chat_pattern import PATTERN
from edge.format.chat_template import TEMPLATE
from edge.format.writer import EdgeWriter

from . import chat, report
from .architectures import Lowered, lower
from .destination import check_disk, check_not_source, check_place
from .recipe import Recipe, parse
from .report import ExportReport
from .sources import Source, TokenizerFiles, open_source
from .store import Store, least_bytes

Progress = Callable[[int, int], None]  # weights written, weights of the model


def export(
    source: str | Path | Source,
    output: str | Path,
    *,
    quant: str = "keep",
    group: int | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
) -> ExportReport:
    """Write a model as an .edge file; an old file at `output` is replaced once all is done.

    `quant` names a recipe ("int8", "int4-g64"; edge.exporter.recipe.RECIPES lists them), `group`
    its group size; `force` applies a recipe even where it ruins the model.

    Raises SourceError, UnsupportedModel (the model), RecipeError (the recipe), DoesNotFit (disk or
    memory), OSError (the place to write to).
    """
    started, output = time.monotonic(), Path(output)
    recipe = parse(quant, group)
    check_place(output)
    if isinstance(source, str | Path):
        check_not_source(output, Path(source))
        source = open_source(source)
    model, tokenizer = lower(source), source.tokenizer()
    check_disk(output, sum(least_bytes(tensor, recipe) for tensor in model.tensors))
    with EdgeWriter(output, tensors=len(model.tensors) + 3) as writer:
        chatting = _add_tokenizer(writer, tokenizer)
        _add_tensors(Store(writer, source, recipe, force), model, progress)
        writer.document = _document(source, model, recipe, tokenizer)
    return ExportReport(
        output=output,
        bytes=output.stat().st_size,
        bits_per_weight=report.bits_per_weight(writer.infos, model.parameters),
        recipe=str(recipe),
        seconds=time.monotonic() - started,
        tensors=tuple(writer.infos),
        chat=chatting.kind,
        notes=model.notes + report.notes(recipe, writer.infos) + chatting.notes,
    )


def _add_tokenizer(writer: EdgeWriter, tokenizer: TokenizerFiles | None) -> chat.Found:
    if tokenizer is None:
        return chat.NOTHING
    writer.add_bytes("tokenizer.json", tokenizer.json)
    if not tokenizer.chat_template:
        return chat.NOTHING
    writer.add_bytes(TEMPLATE, tokenizer.chat_template.encode())
    found = chat.find(tokenizer)
    if found.pattern is not None:
        writer.add_bytes(PATTERN, found.pattern.to_json())
    return found


def _add_tensors(store: Store, model: Lowered, progress: Progress) -> None:
    done = 0
    for tensor in model.tensors:
        try:
            store.add(tensor)
        except DoesNotFit:  # a full disk; also a MemoryError
            raise
        except MemoryError:
            raise DoesNotFit(
                f"{store.source.name}: tensor {tensor.source!r} of shape {list(tensor.shape)} "
                "does not fit in memory; export on a machine with more"
            ) from None
        done += math.prod(tensor.shape)
        progress(done, model.parameters)


def _document(
    source: Source, model: Lowered, recipe: Recipe, tokenizer: TokenizerFiles | None
) -> dict[str, Any]:
    """The header's document (edge/format/spec.py)."""
    ids = None
    if tokenizer is not None:
        ids = {"bos": tokenizer.bos, "eos": list(tokenizer.eos), "add_bos": tokenizer.add_bos}
    settings = {k: v for k, v in asdict(source.generation).items() if v is not None}
    return {
        "kind": "decoder",
        "config": model.config,
        "recipe": str(recipe),
        "source": {"name": source.name, "sha256": source.digest()},
        "parameters": model.parameters,
        "tokenizer": ids,
        "generation": settings or None,
    }
