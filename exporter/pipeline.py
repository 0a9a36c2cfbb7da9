"""Source model -> .edge: read, rename, quantize, write, one tensor in memory at a time."""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import DoesNotFit, RecipeError
from edge.format import spec
from edge.format.chat_pattern import PATTERN
from edge.format.chat_template import TEMPLATE
from edge.format.unfinished import Unfinished
from edge.format.writer import EdgeWriter

from . import cautions, chat
from .allocation.mixed import Speeds, allocate
from .architectures import lower
from .calibration.corpus import Text, record
from .calibration.statistics import Statistics
from .destination import check_disk, check_not_source, check_page, check_place
from .graph.samples import Calib
from .inspection import Inspection
from .language import parse
from .recipe import Recipe
from .report import ExportReport, Progress, bits_per_weight, notes
from .rules import check_bits, check_rules
from .sources import Source, TokenizerFiles, open_source
from .sources.lora import LoraSource
from .store import Store, least_bytes
from .transforms import corrections, transform_layer, transform_model
from .verification import verify
from .weights import Weights


def export(
    source: str | Path | Source,
    output: str | Path,
    *,
    quant: str = "keep",
    group: int | None = None,
    calib: str | Path | np.ndarray | Statistics | Calib | None = None,
    lora: str | Path | None = None,
    lora_apart: bool = False,
    speeds: Speeds | None = None,
    force: bool = False,
    report: str | Path | None = None,
    max_drop: float | str | None = None,
    progress: Progress = lambda done, total: None,
    calibrating: Progress = lambda done, total: None,
) -> ExportReport:
    """Write a model as an .edge file; an old file at `output` is replaced once all is done.

    `quant` names a recipe ("int8", "int4-g64"; edge.exporter.recipe.RECIPES lists them), `group`
    its group size; `force` applies a recipe even where it ruins the model.  `calib` is what
    data-aware recipes read: a text file, a folder of them, token ids [windows, tokens], "self"
    (what the model writes), "self+TEXT" (both), or what edge.exporter.calibration.collect made of them.  `lora` is a
    folder of PEFT's with an adapter to merge into the model; `lora_apart` leaves it beside matrices
    that stay on their grid.  `speeds` are GB/s of weights by format on the device ("products" of
    `edge doctor --json`), for mixed:Nms.  An ONNX file becomes a graph (graph/pipeline.py), `calib` its
    inputs (graph/samples), `max_drop` how far quantizing may take it from them (graph/fallback.py).
    An export that was stopped goes on at the layer it was at, from a folder OUTPUT.unfinished.
    `report` names an HTML page to write about it; with a text (`calib`) it says how far the file is
    from the model.

    Raises SourceError, UnsupportedModel (the model), RecipeError (the recipe), DoesNotFit (disk or
    memory), OSError (the place to write to).
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".onnx":
        if lora is not None or speeds is not None:
            raise RecipeError(f"{source}: adapters and mixed formats are of language models")
        if isinstance(calib, Statistics):
            raise RecipeError(
                f"{source}: statistics are of language models; give the graph's inputs"
            )
        from .graph.pipeline import export_graph  # and onnx: only if needed

        return export_graph(
            source, output, quant=quant, group=group, calib=calib, force=force, report=report,
            max_drop=max_drop, progress=progress, calibrating=calibrating,
        )  # fmt: skip
    if max_drop is not None:
        raise RecipeError("max_drop is for graphs; a language model takes mixed:5.5 or rules")
    if calib is not None and not isinstance(calib, str | Path | np.ndarray | Statistics):
        raise RecipeError("a language model is calibrated with a text, or ids [windows, tokens]")
    started, output = time.monotonic(), Path(output)
    recipe = parse(quant, group)
    _check_data(recipe, calib)
    _check_apart(recipe, lora, lora_apart)
    check_place(output)
    if report is not None:
        given = [Path(path) for path in (source, lora) if isinstance(path, str | Path)]
        check_page(Path(report), output, given)
    folder = output.with_name(f"{output.name}.unfinished")
    source = _opened(source, output, lora, lora_apart)
    model, tokenizer = lower(source), source.tokenizer()
    check_rules(recipe, model)
    if not force:
        check_bits(recipe, model, source)
    inspection = None
    if report is not None:
        inspection = Inspection(Path(report), source, quant, group, calib)
    weights, statistics = Weights(source, model), None
    transform_model(weights, recipe)
    check_disk(output, sum(least_bytes(tensor, recipe) for tensor in weights.model.tensors))
    if recipe.uses_data and calib is not None:
        statistics = _statistics(weights, tokenizer, calib, folder, calibrating)
    _transform(weights, recipe, statistics, calibrating)
    stored = recipe
    if recipe.budget is not None:
        stored = allocate(weights, recipe, statistics, speeds, calibrating)
    digest = source.digest()
    unfinished = _unfinished(folder, digest, stored, force, lora_apart, statistics)
    with EdgeWriter(output, _most_tensors(weights, recipe, lora_apart), unfinished) as writer:
        chatting = _add_tokenizer(writer, tokenizer)
        store = Store(writer, weights, stored, force, statistics)
        _add_tensors(store, progress)
        writer.document = document(weights, digest, recipe, tokenizer)
        if statistics is not None:
            writer.document["calibration"] = record(calib, statistics.identity)
    verify(output, weights)
    done = ExportReport(
        output=output,
        bytes=output.stat().st_size,
        bits_per_weight=bits_per_weight(writer.infos, model.parameters),
        recipe=str(recipe),
        seconds=time.monotonic() - started,
        tensors=tuple(writer.infos),
        chat=chatting.kind,
        notes=weights.model.notes
        + notes(recipe, writer.infos, writer.notes)
        + _unread(recipe, calib, report)
        + chatting.notes,
        cautions=cautions.of(recipe, model.parameters, writer.infos, writer.notes, statistics),
    )
    if inspection is not None:
        inspection.publish(done, weights, digest, writer.notes, statistics)
    if statistics is not None and statistics is not calib:
        statistics.remove()
    return done


def _opened(
    source: str | Path | Source, output: Path, lora: str | Path | None, apart: bool
) -> Source:
    if isinstance(source, str | Path):
        check_not_source(output, Path(source))
        source = open_source(source)
    if lora is None:
        return source
    check_not_source(output, Path(lora))
    return LoraSource(source, lora, apart)


def _check_data(recipe: Recipe, calib: object) -> None:
    if recipe.needs_data and calib is None:
        raise RecipeError(
            f"recipe {str(recipe)!r} chooses by what the model reads: give a text (--calib FILE), "
            "let it write one (--calib self), or take int4-search, which needs none"
        )


def _unread(recipe: Recipe, calib: object, report: object) -> tuple[str, ...]:
    if calib is None or recipe.uses_data or report is not None:
        return ()
    return (f"recipe {str(recipe)!r} needs no text: the one to calibrate with was not read",)


def _statistics(
    weights: Weights,
    tokenizer: TokenizerFiles | None,
    calib: Text | Statistics,
    folder: Path,
    progress: Progress,
) -> Statistics:
    if isinstance(calib, Statistics):
        return calib
    from .calibration.collect import collect, read  # the runtime: only if needed

    ids = read(weights.source, weights.model, tokenizer, calib)
    return collect(weights.source, weights.model, ids, folder, progress)


def _transform(
    weights: Weights, recipe: Recipe, statistics: Statistics | None, progress: Progress
) -> None:
    layers = weights.model.config.layers if recipe.transforms else 0
    for layer in range(layers):
        kept = statistics.factors(str(recipe), layer) if statistics is not None else None
        if kept is not None:
            weights.restore(kept)
        else:
            _transform_layer(weights, recipe, statistics, layer)
        progress(layer + 1, layers)


def _transform_layer(
    weights: Weights, recipe: Recipe, statistics: Statistics | None, layer: int
) -> None:
    transform_layer(weights, recipe, layer, statistics)
    if statistics is not None:
        statistics.keep_factors(str(recipe), layer, weights.of_layer(layer))


def _unfinished(
    folder: Path,
    digest: str,
    stored: Recipe,
    force: bool,
    apart: bool,
    statistics: Statistics | None,
) -> Unfinished:
    """What the same export has written before it was stopped; `stored` with what was allocated."""
    identity = {
        "versions": [*spec.FORMAT_VERSIONS, spec.LAYOUT_VERSION],
        "source": digest,
        "recipe": repr(stored),
        "force": force,
        "apart": apart,
        "calibration": None if statistics is None else statistics.identity,
    }
    try:
        return Unfinished(folder, identity)
    except BlockingIOError:
        raise OSError(f"cannot write {folder}: another export is writing there") from None
    except OSError as error:
        raise OSError(f"cannot write {folder}: {error.strerror}") from None


def _add_tokenizer(writer: EdgeWriter, tokenizer: TokenizerFiles | None) -> chat.Found:
    if tokenizer is None:
        return chat.NOTHING
    contents, found = {"tokenizer.json": tokenizer.json}, chat.NOTHING
    if tokenizer.chat_template:
        contents[TEMPLATE] = tokenizer.chat_template.encode()
        found = chat.find(tokenizer)
        if found.pattern is not None:
            contents[PATTERN] = found.pattern.to_json()
    for name, content in contents.items():
        if name not in writer:
            writer.add_bytes(name, content)
    return found


def _check_apart(recipe: Recipe, lora: str | Path | None, apart: bool) -> None:
    if apart and (lora is None or not recipe.keeps):
        missing = "a folder (--lora)" if lora is None else f"the recipe keep, not {str(recipe)!r}"
        raise RecipeError(f"an adapter beside matrices that stay as they are needs {missing}")


def _most_tensors(weights: Weights, recipe: Recipe, apart: bool) -> int:
    """With the tokenizer's three, and what is beside matrices: orders, factors, biases, adapters."""
    tensors = len(weights.model.tensors)
    most = tensors + 3 + (tensors if any(corrections(recipe)) else 0) + 2 * tensors * apart
    if recipe.keeps and weights.source.reorders:
        most += sum(len(t.shape) == 2 for t in weights.model.tensors)
    most += sum(weights.in_scale(t.name) is not None for t in weights.model.tensors)
    return most + sum(2 * len(recipe.method(t.name).addends) for t in weights.model.tensors)


def _add_tensors(store: Store, progress: Progress) -> None:
    tensors, done = store.weights.model.tensors, 0
    total = sum(math.prod(tensor.shape) for tensor in tensors)
    for tensor in tensors:
        try:
            if tensor.name not in store.writer:
                store.add(tensor)
        except DoesNotFit:  # a full disk; also a MemoryError
            raise
        except MemoryError:
            raise DoesNotFit(
                f"{store.weights.source.name}: tensor {tensor.source!r} of shape {list(tensor.shape)} "
                "does not fit in memory; export on a machine with more"
            ) from None
        done += math.prod(tensor.shape)
        progress(done, total)


def document(
    weights: Weights, digest: str, recipe: Recipe, tokenizer: TokenizerFiles | None
) -> dict[str, Any]:
    """The header's document (edge/format/spec.py)."""
    source = weights.source
    ids: dict[str, Any] | None = None
    if tokenizer is not None:
        ids = {"bos": tokenizer.bos, "eos": list(tokenizer.eos), "add_bos": tokenizer.add_bos}
        if weights.model.kind == "encoder":
            ids |= {"before": list(tokenizer.before), "after": list(tokenizer.after)}
    settings = {k: v for k, v in asdict(source.generation).items() if v is not None}
    return {
        "kind": weights.model.kind,
        "config": weights.model.config,
        "recipe": str(recipe),
        "kv": recipe.kv,
        "source": {"name": source.name, "sha256": digest},
        "parameters": weights.model.parameters,
        "tokenizer": ids,
        "generation": settings or None,
    }
