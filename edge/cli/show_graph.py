"""edge show of a graph: what it wants and gives, its layers and its size."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from . import quantities, show

if TYPE_CHECKING:
    from edge.format.graph import Graph
    from edge.format.reader import EdgeFile

MOST_OPERATORS = 8  # that people see


def describe(file: EdgeFile) -> dict[str, Any]:
    """The document of `edge show --json`; what buffers take depends on the sizes of inputs."""
    from edge.format.graph import GRAPH

    graph, parameters = _graph(file), file.document["parameters"]
    weights = sum(info.nbytes for info in file.tensors.values() if info.name != GRAPH)
    operators = Counter(node.op for node in graph.walk())
    return {
        "kind": "graph",
        "architecture": file.config.architecture,
        "parameters": parameters,
        "bytes": file.size,
        "bits_per_weight": round(8 * weights / max(parameters, 1), 4),
        "formats": show.formats(file),
        "context_length": None,
        "recipe": file.document["recipe"],
        "source": file.document["source"],
        "chat": None,
        "memory": {"weights": weights, "kv_per_token": 0, "arena": None},
        "opset": file.config.opset,
        "inputs": [_value(value) for value in graph.inputs],
        "outputs": [_value(value) for value in graph.outputs],
        "operators": dict(operators.most_common()),
        "metadata": dict(graph.metadata),
    }


def rows(file: EdgeFile, document: dict[str, Any]) -> list[tuple[str, str]]:
    """The document for people."""
    operators = list(document["operators"].items())
    shown = ", ".join(f"{op} {n}" for op, n in operators[:MOST_OPERATORS])
    shown += ", ..." if len(operators) > MOST_OPERATORS else ""
    formats = ", ".join(f"{f} {quantities.size(n)}" for f, n in document["formats"].items())
    count, bits = quantities.count(document["parameters"]), document["bits_per_weight"]
    source = document["source"].get("name", "unknown")
    return [
        ("graph", f"{document['architecture']}, ONNX opset {document['opset']}"),
        *(("input", _line(value)) for value in document["inputs"]),
        *(("output", _line(value)) for value in document["outputs"]),
        ("operators", f"{sum(document['operators'].values())}: {shown}"),
        ("parameters", f"{count}, {bits:.2f} bits each"),
        ("size", quantities.size(file.size)),
        ("formats", formats),
        ("recipe", f"{document['recipe']}, from {source}"),
    ]


def _graph(file: EdgeFile) -> Graph:
    from edge.format.graph import CONSTANTS, GRAPH
    from edge.format.graph_json import decode

    return decode(file.read_bytes(GRAPH), file.view(CONSTANTS), str(file.path))


def _value(value: Any) -> dict[str, Any]:
    shape = None if value.shape is None else list(value.shape)
    return {"name": value.name, "dtype": value.dtype, "shape": shape}


def _line(value: dict[str, Any]) -> str:
    if value["shape"] is None:
        return f"{value['name']}: {value['dtype']}"
    sizes = ", ".join("?" if size is None else str(size) for size in value["shape"])
    return f"{value['name']}: {value['dtype']} [{sizes}]"
