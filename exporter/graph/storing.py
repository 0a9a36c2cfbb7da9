"""A quantized graph into a file: the graph, its constants, matrices and their biases."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import FormatError, UnsupportedModel
from edge.format.formats import ALIGNMENT, QuantizedTensor
from edge.format.graph import CONSTANTS, GRAPH, Graph
from edge.format.graph_json import decode, encode
from edge.format.reader import EdgeFile
from edge.format.spec import TensorInfo
from edge.format.writer import EdgeWriter, header_bytes

from ..report import Progress
from .layers import narrow_taps, unpadded
from .quantization import Quantized


@dataclass(frozen=True)
class _Part:
    """One tensor: what the header says of it, and its content."""

    info: TensorInfo
    content: bytes | np.ndarray | QuantizedTensor

    def write(self, writer: EdgeWriter) -> None:
        name, content = self.info.name, self.content
        if isinstance(content, bytes):
            writer.add_bytes(name, content)
        elif isinstance(content, QuantizedTensor):
            writer.add_matrix(name, content, self.info.error, self.info.activation)
        elif content.ndim == 1:
            writer.add_vector(name, content)
        else:
            writer.add_float_matrix(name, content, self.info.format, self.info.error)


def write(
    output: Path,
    quantized: Quantized,
    document: Mapping[str, Any],
    progress: Progress = lambda done, total: None,
) -> tuple[TensorInfo, ...]:
    """All is known before: the header takes what it needs and no more.

    Raises UnsupportedModel for a graph that could not be read again.
    """
    parts = [*_graph(quantized.model.graph, output.name), *_matrices(quantized)]
    room = header_bytes([part.info for part in parts], document)
    with EdgeWriter(output, len(parts), room=room) as writer:
        for done, part in enumerate(parts):
            part.write(writer)
            progress(done + 1, len(parts))
        writer.document = dict(document)
    return tuple(writer.infos)


def check_file(output: Path) -> None:
    """Every checksum.  Raises FormatError."""
    broken = EdgeFile(output).verify()
    if broken:
        raise FormatError(
            f"{output}: tensor {broken[0]!r} read again has other bytes than were written; the disk "
            "or the memory is faulty: export again, elsewhere"
        )


def _graph(graph: Graph, where: str) -> list[_Part]:
    text, constants = encode(graph)
    contents = {GRAPH: text, CONSTANTS: constants or bytes(ALIGNMENT)}  # no tensor is empty
    try:
        decode(text, np.frombuffer(contents[CONSTANTS], np.uint8), where)
    except FormatError as error:
        raise UnsupportedModel(f"a graph beyond what a file can hold: {error}") from None
    return [_Part(_info(name, "bytes", (len(raw),)), raw) for name, raw in contents.items()]


def _matrices(quantized: Quantized) -> list[_Part]:
    """Codes are padded to what kernels take at once; floats they take one by one."""
    parts, narrow = [], narrow_taps(quantized.model.graph)
    for name, stored in quantized.stored.items():
        if stored.bias is not None:
            parts.append(_Part(_info(f"{name}.bias", "vector", stored.bias.shape), stored.bias))
        weight = stored.weight
        if stored.tensor is None and name in narrow:
            weight = unpadded(weight, narrow[name])
        content = weight if stored.tensor is None else stored.tensor
        rows, columns = weight.shape
        info = TensorInfo(
            f"{name}.weight", str(stored.format), (rows, columns), 0, 0, "",
            stored.error, stored.activation,
        )  # fmt: skip
        parts.append(_Part(info, content))
    return parts


def _info(name: str, form: str, shape: tuple[int, ...]) -> TensorInfo:
    return TensorInfo(name, form, shape, 0, 0, "")
