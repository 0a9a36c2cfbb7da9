"""An ONNX model -> .edge: read, lower, write."""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import RecipeError
from edge.format.graph import GRAPH
from edge.format.graph_config import GraphConfig
from edge.format.spec import TensorInfo

from ..calibration.corpus import line
from ..destination import check_not_source, check_page, check_place
from ..language import parse
from ..page.graph import gather, write_graph
from ..recipe import Recipe
from ..report import ExportReport, Progress
from ..sources.files import sha256, sha256_of_files
from . import fuse
from .activity import Activity, observe
from .agreement import Agreement, agreement
from .bias import correct_biases
from .equalize import equalize
from .evaluate import check_operators
from .fallback import MaxDrop, fall_back
from .halves import in_single
from .kept import keep_grids
from .layers import narrow_taps, unpadded
from .model import GraphModel
from .onnx_file import read
from .plan import Plan, plan
from .quantization import Quantized, check_finite, quantize_graph
from .samples import Calib, Samples, read_samples
from .simplify import simplify
from .storing import check_file, write
from .unquantize import unquantize
from .upgrade import upgrade

Pass = Callable[[GraphModel], GraphModel]
PASSES: tuple[Pass, ...] = (
    upgrade,
    unquantize,
    in_single,
    simplify,
    *fuse.PASSES,
    keep_grids,
)  # from ONNX as it was written to what the runtime wants, in order


def lower(source: str | Path) -> GraphModel:
    """The model of an ONNX file as edge runs it.  Raises SourceError, UnsupportedModel."""
    model = read(Path(source))
    for change in PASSES:
        model = change(model)
    return model


def export_graph(
    source: str | Path,
    output: str | Path,
    *,
    quant: str = "keep",
    group: int | None = None,
    calib: Calib | None = None,
    force: bool = False,
    report: str | Path | None = None,
    max_drop: float | str | None = None,
    verify: bool = True,
    progress: Progress = lambda done, total: None,
    calibrating: Progress = lambda done, total: None,
) -> ExportReport:
    """Write an ONNX model as an .edge file; an old file at `output` is replaced once all is done.

    `calib`: samples/__init__.py says what it may be; `max_drop`: fallback.py says what is measured.
    With `verify` the file is run afterwards, beside the float model.

    Raises SourceError, UnsupportedModel (the model), RecipeError (the recipe, the data), DoesNotFit
    (disk), OSError (the place to write to).
    """
    started, source, output = time.monotonic(), Path(source), Path(output)
    check_place(output)
    check_not_source(output, source)
    if report is not None:
        check_page(Path(report), output, [source])
    recipe = parse(quant, group, graph=True)
    allowed = None if max_drop is None else MaxDrop.parse(max_drop)
    _check_data(recipe, allowed, calib)
    model = lower(source)
    check_operators(model.graph, str(source))
    check_finite(model)
    planned = plan(model, recipe, force)
    samples = None if calib is None else read_samples(calib, model.graph.inputs)
    if "equalize" in recipe.transforms:
        model = equalize(model)
    quantized, activity, notes = _quantized(model, planned, samples, allowed, calibrating)
    digest = sha256(source) if len(model.files) == 1 else sha256_of_files(model.files)
    document = _document(model, source, digest, recipe, samples)
    infos = write(output, quantized, document, progress)
    check_file(output)
    found = agreement(output, source, model, quantized, samples, activity) if verify else None
    done = ExportReport(
        output=output,
        bytes=output.stat().st_size,
        bits_per_weight=_bits_per_weight(infos, parameters(model)),
        recipe=str(recipe),
        seconds=time.monotonic() - started,
        tensors=infos,
        notes=(*model.notes, *planned.notes, *notes, *_fallen(quantized), *_verified(found)),
        cautions=() if found is None else tuple(found.cautions()),
        verification=None if found is None else found.to_json(),
    )
    if report is not None:
        _write_page(Path(report), done, source.name, digest, model, samples)
    return done


def _write_page(
    path: Path,
    done: ExportReport,
    source: str,
    digest: str,
    model: GraphModel,
    samples: Samples | None,
) -> None:
    by_name = {f"{name}.weight": weight for name, weight in weights(model).items()}
    how = "" if samples is None else f", calibrated on {len(samples)} samples of {samples.name}"
    write_graph(path, gather(done, source, digest, parameters(model), how, by_name))


def _check_data(recipe: Recipe, allowed: MaxDrop | None, calib: object) -> None:
    if calib is None and (recipe.needs_data or allowed is not None):
        what = "--max-drop" if not recipe.needs_data else f"recipe {str(recipe)!r}"
        raise RecipeError(f"{what} goes by what the model reads: give some of it (--calib FOLDER)")


def _quantized(
    model: GraphModel,
    planned: Plan,
    samples: Samples | None,
    allowed: MaxDrop | None,
    progress: Progress,
) -> tuple[Quantized, Activity, tuple[str, ...]]:
    activity = {} if samples is None else observe(model, samples, progress)
    if samples is not None and allowed is not None:
        quantized, notes = fall_back(model, planned, activity, samples, allowed, progress)
    else:
        quantized, notes = quantize_graph(model, planned, activity), ()
    if samples is not None and "bias_correct" in planned.recipe.transforms:
        quantized = correct_biases(model, quantized, samples)
    return quantized, activity, notes


def _fallen(quantized: Quantized) -> tuple[str, ...]:
    return tuple(f"{name}: {method}" for name, method in quantized.fallen)


def _verified(found: Agreement | None) -> tuple[str, ...]:
    return () if found is None else (f"verified {found.sentence}",)


def weights(model: GraphModel) -> dict[str, np.ndarray]:
    """Matrices by name, without what pads them."""
    narrow = narrow_taps(model.graph)
    found = {name: matrix.weight for name, matrix in model.matrices.items()}
    return found | {name: unpadded(found[name], channels) for name, channels in narrow.items()}


def parameters(model: GraphModel) -> int:
    """How many numbers the constants and the matrices have."""
    arrays = [*model.graph.constants.values(), *weights(model).values()]
    arrays += [m.bias for m in model.matrices.values() if m.bias is not None]
    return sum(math.prod(array.shape) for array in arrays)


def _bits_per_weight(infos: Iterable[TensorInfo], parameters: int) -> float:
    return 8 * sum(i.nbytes for i in infos if i.name != GRAPH) / max(parameters, 1)


def _document(
    model: GraphModel, source: Path, digest: str, recipe: Recipe, samples: Samples | None
) -> dict[str, Any]:
    """The header's document (edge/format/spec.py)."""
    nodes = sum(1 for _ in model.graph.walk())
    document = {
        "kind": "graph",
        "config": GraphConfig(model.name[:100], nodes, model.opset),
        "recipe": str(recipe),
        "source": {"name": source.name, "sha256": digest},
        "parameters": parameters(model),
        "tokenizer": None,
        "generation": None,
    }
    if samples is not None:
        document["calibration"] = {"name": line(samples.name), "sha256": samples.digest()}
    return document
