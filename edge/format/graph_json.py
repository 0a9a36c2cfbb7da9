"""graph.json and graph.constants <-> Graph, checked as strictly as the header.

    {"graphs": [{"inputs", "outputs", "nodes"}, ...],   the model, then graphs that nodes contain
     "constants": {name: {"dtype", "shape", "start"}},  of all graphs
     "metadata": {key: text}}

Inputs and outputs are {"name", "dtype", "shape"}, a node is {"op", "inputs", "outputs", "name",
"attributes"}.  An attribute is a number, a text, or a list of one kind of them, or
{"graph": index}, one that comes later, {"constant": name}, {"float": "inf"}.  Strings among the
constants are a JSON list.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import FormatError

from .element_types import WIDER
from .formats import ALIGNMENT
from .graph import Attribute, Graph, Node, Value
from .header import parse

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)  # of constants; and "string"
MAX_RANK = 32  # of NumPy 1
MAX_DEPTH = 100  # of graphs inside of nodes
_TYPE = f"(?:{'|'.join((*DTYPES, *WIDER))})"
VALUE = re.compile(  # types of values; "" inside of nodes, where nobody knows
    rf"|{_TYPE}|(?:sequence|optional|optional\(sequence)\({_TYPE}\)+|(?:sequence\()?map\({_TYPE},{_TYPE}\)+"
)
MAX_NODES = 2**20
MAX_NAME = 1000


# --- to a file ------------------------------------------------------------------------------------


class _Encoder:
    def __init__(self) -> None:
        self.graphs: list[dict[str, Any] | None] = []
        self.constants: dict[str, dict[str, Any]] = {}
        self.parts: list[bytes] = []
        self.size = 0

    def graph(self, graph: Graph) -> int:
        index = len(self.graphs)
        self.graphs.append(None)  # its place is before the graphs inside it
        for name, array in graph.constants.items():
            self.constant(name, array)
        self.graphs[index] = {
            "inputs": [_value(v) for v in graph.inputs],
            "outputs": [_value(v) for v in graph.outputs],
            "nodes": [self.node(node, index, i) for i, node in enumerate(graph.nodes)],
        }
        return index

    def node(self, node: Node, graph: int, position: int) -> dict[str, Any]:
        attributes = {
            key: self.attribute(value, f"{graph}.{position}.{key}")
            for key, value in node.attributes.items()
        }
        return {
            "op": node.op,
            "inputs": list(node.inputs),
            "outputs": list(node.outputs),
            "name": node.name,
            "attributes": attributes,
        }

    def attribute(self, value: Attribute, place: str) -> Any:
        if isinstance(value, Graph):
            return {"graph": self.graph(value)}
        if isinstance(value, np.ndarray):
            self.constant(f"attribute {place}", value)
            return {"constant": f"attribute {place}"}
        if isinstance(value, tuple | list):
            return [self.attribute(v, place) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": str(value)}
        return value

    def constant(self, name: str, array: np.ndarray) -> None:
        if name in self.constants:
            raise ValueError(f"two constants are called {name!r}")
        dtype, raw = str(array.dtype), np.ascontiguousarray(array).tobytes()
        if array.dtype == object:
            dtype, raw = "string", json.dumps([str(text) for text in array.ravel()]).encode()
        entry = {"dtype": dtype, "shape": list(array.shape), "start": self.size}
        self.constants[name] = entry | ({"nbytes": len(raw)} if dtype == "string" else {})
        raw += bytes(-len(raw) % ALIGNMENT)
        self.parts.append(raw)
        self.size += len(raw)


def encode(graph: Graph) -> tuple[bytes, bytes]:
    """graph.json and graph.constants; names of constants must differ, also in graphs inside."""
    encoder = _Encoder()
    encoder.graph(graph)
    document = {
        "graphs": encoder.graphs,
        "constants": encoder.constants,
        "metadata": dict(graph.metadata),
    }
    return json.dumps(document, separators=(",", ":")).encode(), b"".join(encoder.parts)


def _value(value: Value) -> dict[str, Any]:
    shape = None if value.shape is None else list(value.shape)
    return {"name": value.name, "dtype": value.dtype, "shape": shape}


# --- from a file ----------------------------------------------------------------------------------


def decode(text: bytes, blob: np.ndarray, where: str) -> Graph:
    """The graph; constants are views of `blob`, uint8, read-only and from a multiple of 64 on.

    Raises FormatError.
    """
    return _Decoder(parse(text, where, "graph.json"), blob, f"{where}: graph.json").model()


class _Decoder:
    def __init__(self, document: dict[str, Any], blob: np.ndarray, where: str):
        self.document, self.blob, self.where = document, blob, where
        self.listed = self._typed(document.get("graphs"), list, "graphs")
        self._check(1 <= len(self.listed) <= MAX_NODES, "graphs: expected at least one")
        entries = self._typed(document.get("constants"), dict, "constants")
        self.constants = {name: self._constant(name, entry) for name, entry in entries.items()}
        self.nodes = self.depth = 0
        self.used: set[int] = set()

    def model(self) -> Graph:
        metadata = self._typed(self.document.get("metadata"), dict, "metadata")
        for key, value in metadata.items():
            self._check(type(value) is str, f"metadata {key!r:.80}: expected a text")
        return self._graph(0, {}, metadata)

    def _fail(self, message: str) -> FormatError:
        return FormatError(f"{self.where}: {message}")

    def _check(self, holds: bool, message: str) -> None:
        if not holds:
            raise self._fail(message)

    def _typed(self, value: Any, kind: type, what: str) -> Any:
        self._check(type(value) is kind, f"{what}: expected {kind.__name__}, found {value!r:.60}")
        return value

    def _names(self, value: Any, what: str) -> tuple[str, ...]:
        for name in self._typed(value, list, what):
            self._check(type(name) is str and len(name) <= MAX_NAME, f"{what}: {name!r:.60}")
        return tuple(value)

    def _graph(self, index: int, around: Mapping[str, Any], metadata: dict[str, str]) -> Graph:
        self._check(index not in self.used, f"graph {index} occurs in two nodes")
        self.used.add(index)
        self.depth += 1
        self._check(self.depth <= MAX_DEPTH, f"graphs inside of graphs, {MAX_DEPTH} deep")
        what = f"graph {index}"
        document = self._typed(self.listed[index], dict, what)
        inputs, outputs = (
            tuple(self._value(v, what) for v in self._typed(document.get(key), list, what))
            for key in ("inputs", "outputs")
        )
        known = {**around, **{v.name: None for v in inputs}}
        self._check(len({v.name for v in inputs}) == len(inputs), f"{what}: two inputs of a name")
        if index == 0:
            known |= dict.fromkeys(self.constants)
        nodes = tuple(
            self._node(node, index, known)
            for node in self._typed(document.get("nodes"), list, what)
        )
        for value in outputs:
            self._check(value.name in known, f"output {value.name!r:.80}: no node makes it")
        self.depth -= 1
        return Graph(inputs, outputs, nodes, {} if index else self.constants, metadata)

    def _node(self, node: Any, graph: int, known: dict[str, Any]) -> Node:
        """`known` gains its outputs."""
        self.nodes += 1
        self._check(self.nodes <= MAX_NODES, f"more than {MAX_NODES} nodes")
        node = self._typed(node, dict, "node")
        op, name = (self._typed(node.get(key), str, f"node.{key}") for key in ("op", "name"))
        inputs, outputs = (self._names(node.get(key), op) for key in ("inputs", "outputs"))
        for value in filter(None, inputs):
            self._check(
                value in known, f"{op} {name!r:.60} reads {value!r:.60}, which is not there"
            )
        found = self._typed(node.get("attributes"), dict, op)
        attributes = {
            k: self._attribute(v, f"{op}.{k:.60}", graph, known) for k, v in found.items()
        }
        for value in filter(None, outputs):
            self._check(value not in known, f"{op} {name!r:.60} makes {value!r:.60} again")
            known[value] = None
        return Node(op, inputs, outputs, attributes, name)

    def _attribute(self, value: Any, what: str, graph: int, known: Mapping[str, Any]) -> Attribute:
        if isinstance(value, list):
            self._check(all(type(v) in (int, float, str) for v in value), f"{what}: {value!r:.60}")
            return tuple(value)
        if not isinstance(value, dict):
            self._check(type(value) in (int, float, str), f"{what}: {value!r:.60}")
            return value
        self._check(len(value) == 1, f"{what}: {value!r:.60}")
        kind, content = next(iter(value.items()))
        if kind == "float" and content in ("inf", "-inf", "nan"):
            return float(content)
        if kind == "constant" and type(content) is str and content in self.constants:
            return self.constants[content]
        known_graph = kind == "graph" and type(content) is int
        inside = known_graph and graph < content < len(self.listed)
        self._check(inside, f"{what}: {value!r:.60}")
        return self._graph(content, known, {})

    def _value(self, value: Any, what: str) -> Value:
        value = self._typed(value, dict, what)
        name, dtype = (self._typed(value.get(key), str, what) for key in ("name", "dtype"))
        self._check(len(name) <= MAX_NAME, f"{what}: {name!r:.60}")
        self._check(VALUE.fullmatch(dtype) is not None, f"dtype of {name!r:.60}: {dtype!r:.40}")
        shape = value.get("shape")
        if shape is None:
            return Value(name, dtype)
        sizes = self._typed(shape, list, f"shape of {name!r:.60}")
        self._check(len(sizes) <= MAX_RANK, f"shape of {name!r:.60}: {len(sizes)} sizes")
        for size in sizes:
            fits = type(size) is int and 0 <= size < 2**48
            fits = fits or size is None or type(size) is str
            self._check(fits, f"shape of {name!r:.60}: {size!r:.40}")
        return Value(name, dtype, tuple(shape))

    def _constant(self, name: str, entry: Any) -> np.ndarray:
        what = f"constant {name!r:.80}"
        entry = self._typed(entry, dict, what)
        dtype, shape, start = (entry.get(key) for key in ("dtype", "shape", "start"))
        sizes = [*self._typed(shape, list, f"{what}: shape"), self._typed(start, int, what)]
        fit = len(sizes) <= MAX_RANK and all(type(n) is int and 0 <= n < 2**48 for n in sizes)
        fit = fit and math.prod(size for size in shape if size) < 2**48
        self._check(fit, f"{what}: {sizes!r:.60}")
        self._check(start % ALIGNMENT == 0, f"{what}: at byte {start}")
        if dtype == "string":
            return self._strings(what, entry)
        self._check(dtype in DTYPES, f"{what}: dtype {dtype!r:.40}")
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        view = self._bytes(what, start, nbytes)
        array: np.ndarray = view.view(np.dtype(dtype).newbyteorder("<")).reshape(shape)
        return array

    def _bytes(self, what: str, start: int, nbytes: int) -> np.ndarray:
        there = len(self.blob)
        self._check(start + nbytes <= there, f"{what}: {nbytes} bytes at {start} of {there}")
        return self.blob[start : start + nbytes]

    def _strings(self, what: str, entry: dict[str, Any]) -> np.ndarray:
        nbytes = self._typed(entry.get("nbytes"), int, what)
        self._check(nbytes >= 0, f"{what}: {nbytes} bytes")
        raw = self._bytes(what, entry["start"], nbytes).tobytes()
        listed = parse(b'{"strings":' + raw + b"}", self.where, what)["strings"]
        found = isinstance(listed, list) and all(type(text) is str for text in listed)
        self._check(found and len(listed) == math.prod(entry["shape"]), f"{what}: {listed!r:.60}")
        strings = np.empty(len(listed), object)
        strings[:] = listed
        return strings.reshape(entry["shape"])
