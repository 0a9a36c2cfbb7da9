"""An ONNX model -> .edge: read, lower, write."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.errors import RecipeError
from edge.format.formats import ALIGNMENT
from edge.format.graph import CONSTANTS, GRAPH, Graph
from edge.format.graph_config import GraphConfig
from edge.format.graph_json import encode
from edge.format.spec import TensorInfo
from edge.format.writer import EdgeWriter

from ..destination import check_not_source, check_place
from ..report import ExportReport, Progress
from ..sources.files import sha256
from .kept import keep_grids
from .model import GraphModel
from .onnx_file import read
from .simplify import simplify
from .unquantize import unquantize
from .upgrade import upgrade

Pass = Callable[[GraphModel], GraphModel]
PASSES: tuple[Pass, ...] = (
    upgrade,
    simplify,
    unquantize,
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
    quant: str = "float32",
    group: int | None = None,
    calib: Any = None,
    force: bool = False,
    report: str | Path | None = None,
    max_drop: float | None = None,
    progress: Progress = lambda done, total: None,
) -> ExportReport:
    """Write an ONNX model as an .edge file; an old file at `output` is replaced once all is done.

    Raises SourceError, UnsupportedModel (the model), RecipeError (the recipe), DoesNotFit (disk),
    OSError (the place to write to).
    """
    started, source, output = time.monotonic(), Path(source), Path(output)
    check_place(output)
    check_not_source(output, source)
    if quant not in ("keep", "float32"):
        raise RecipeError(f"recipe {quant!r}: a graph is stored as float32")
    model = lower(source)
    digest = sha256(source)
    with EdgeWriter(output, 2 + 2 * len(model.matrices)) as writer:
        _add_graph(writer, model.graph)
        _add_matrices(writer, model, progress)
        writer.document = _document(model, source, digest)
    return ExportReport(
        output=output,
        bytes=output.stat().st_size,
        bits_per_weight=_bits_per_weight(writer.infos, parameters(model)),
        recipe="float32",
        seconds=time.monotonic() - started,
        tensors=tuple(writer.infos),
    )


def parameters(model: GraphModel) -> int:
    """How many numbers the constants and the matrices have."""
    arrays = [*model.graph.constants.values(), *(m.weight for m in model.matrices.values())]
    arrays += [m.bias for m in model.matrices.values() if m.bias is not None]
    return sum(math.prod(array.shape) for array in arrays)


def _bits_per_weight(infos: list[TensorInfo], parameters: int) -> float:
    return 8 * sum(i.nbytes for i in infos if i.name != GRAPH) / max(parameters, 1)


def _add_graph(writer: EdgeWriter, graph: Graph) -> None:
    text, constants = encode(graph)
    writer.add_bytes(GRAPH, text)
    writer.add_bytes(CONSTANTS, constants or bytes(ALIGNMENT))  # no tensor is empty


def _add_matrices(writer: EdgeWriter, model: GraphModel, progress: Progress) -> None:
    total, done = sum(m.weight.size for m in model.matrices.values()), 0
    for name, matrix in model.matrices.items():
        if matrix.bias is not None:
            writer.add_vector(f"{name}.bias", matrix.bias)
        writer.add_float_matrix(f"{name}.weight", matrix.weight, "float32", 0.0)
        done += matrix.weight.size
        progress(done, total)


def _document(model: GraphModel, source: Path, digest: str) -> dict[str, Any]:
    """The header's document (edge/format/spec.py)."""
    nodes = sum(1 for _ in model.graph.walk())
    return {
        "kind": "graph",
        "config": GraphConfig(model.name[:100], nodes, model.opset),
        "recipe": "float32",
        "source": {"name": source.name, "sha256": digest},
        "parameters": parameters(model),
        "tokenizer": None,
        "generation": None,
    }
