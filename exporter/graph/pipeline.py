"""An ONNX model -> .edge: read, lower, write."""

import math
import time
from pathlib import Path
from typing import Any

from edge.errors import RecipeError
from edge.format.formats import ALIGNMENT
from edge.format.graph import CONSTANTS, GRAPH, Graph
from edge.format.graph_config import GraphConfig
from edge.format.graph_json import encode
from edge.format.writer import EdgeWriter

from ..destination import check_not_source, check_place
from ..report import ExportReport, Progress
from ..sources.files import sha256
from .onnx_file import OnnxModel, read


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
    model = read(source)
    digest = sha256(source)
    with EdgeWriter(output, 2) as writer:
        text, constants = encode(model.graph)
        writer.add_bytes(GRAPH, text)
        writer.add_bytes(CONSTANTS, constants or bytes(ALIGNMENT))  # no tensor is empty
        writer.document = _document(model, source, digest)
    progress(1, 1)
    return ExportReport(
        output=output,
        bytes=output.stat().st_size,
        bits_per_weight=8 * len(constants) / max(parameters(model.graph), 1),
        recipe="float32",
        seconds=time.monotonic() - started,
        tensors=tuple(writer.infos),
    )


def parameters(graph: Graph) -> int:
    """How many numbers the constants have."""
    return sum(math.prod(array.shape) for array in graph.constants.values())


def _document(model: OnnxModel, source: Path, digest: str) -> dict[str, Any]:
    """The header's document (edge/format/spec.py)."""
    nodes = sum(1 for _ in model.graph.walk())
    return {
        "kind": "graph",
        "config": GraphConfig(model.name[:100], nodes, model.opsets.get("", 1)),
        "recipe": "float32",
        "source": {"name": source.name, "sha256": digest},
        "parameters": parameters(model.graph),
        "tokenizer": None,
        "generation": None,
    }
