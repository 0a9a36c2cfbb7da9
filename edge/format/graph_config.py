"""What the header says of a graph of operators; the graph itself is a tensor (graph_json.py)."""

from dataclasses import dataclass
from typing import Any

from .fields import require, typed_fields


@dataclass(frozen=True)
class GraphConfig:
    """What is there to show without reading the graph."""

    architecture: str  # what its author called it, for people
    nodes: int  # with those inside of control flow
    opset: int  # of ONNX, that the source was written in


def from_json(document: dict[str, Any], where: str) -> GraphConfig:
    """Read and check; `where` names the file in errors."""
    config = GraphConfig(**typed_fields(GraphConfig, document, where))
    name = config.architecture
    fits = name.isprintable() and len(name) <= 100
    require(f"{where}: GraphConfig", fits, "architecture: a short line", name)
    return config
