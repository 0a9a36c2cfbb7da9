"""graph.json and graph.constants: whole graphs come back, and broken ones are refused by name."""

import copy
import json
from random import Random

import numpy as np
import pytest

from edge.errors import FormatError
from edge.format.formats import ALIGNMENT
from edge.format.graph import Graph, Node, Value
from edge.format.graph_json import MAX_DEPTH, decode, encode

BRANCH = Graph((), (Value("inner", ""),), (Node("Neg", ("x",), ("inner",)),))
OTHER = Graph((), (Value("other", ""),), (Node("Mul", ("x", "w"), ("other",), {}, "in a branch"),))
WHOLE = Graph(
    inputs=(Value("x", "float32", ("N", 4, None)), Value("s", "optional(sequence(int64))")),
    outputs=(Value("y", "bfloat16", (0,)), Value("z", "string", None)),
    nodes=(
        Node("If", ("c",), ("y",), {"then_branch": BRANCH, "else_branch": OTHER}, "a choice"),
        Node(
            "Odd", ("", "y"), ("", "z"),
            {"i": 3, "f": 0.5, "t": "text", "is": (1, 2), "ts": ("a", "b"), "none": (),
             "inf": -np.inf, "array": np.arange(6, dtype=np.int16).reshape(2, 3)},
        ),
    ),
    constants={
        "w": np.arange(5, dtype=np.float32), "c": np.array(True), "empty": np.zeros((0, 3)),
        "texts": np.array([["a\n", "ü"]], object), "half": np.ones(3, np.float16),
    },
    metadata={"key": "value"},
)  # fmt: skip


def stored(graph=WHOLE):
    text, constants = encode(graph)
    return json.loads(text), np.frombuffer(constants, np.uint8)


def read(document, blob):
    return decode(json.dumps(document).encode(), blob, "m.edge")


def as_data(value):
    """Comparable, arrays included."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tolist()
    if isinstance(value, Graph):
        nodes = [
            (n.op, n.inputs, n.outputs, as_data(dict(n.attributes)), n.name) for n in value.nodes
        ]
        return value.inputs, value.outputs, nodes
    if isinstance(value, dict):
        return {key: as_data(item) for key, item in value.items()}
    return value


def test_a_graph_comes_back_as_it_was():
    found = read(*stored())
    assert as_data(found) == as_data(WHOLE)
    assert found.metadata == WHOLE.metadata
    constants = {name: array for name, array in found.constants.items() if "attribute" not in name}
    assert as_data(constants) == as_data(dict(WHOLE.constants))


def test_constants_are_views_of_the_file():
    document, blob = stored()
    found = read(document, blob)
    assert np.shares_memory(found.constants["w"], blob)
    assert all(entry["start"] % ALIGNMENT == 0 for entry in document["constants"].values())
    assert not found.constants["w"].flags.writeable


def put(*path, value):
    """A change of a document at a place in it."""

    def change(document):
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def nested(depth):
    def change(document):
        value = {"name": "x", "dtype": "", "shape": None}
        graphs = [
            {"inputs": [], "outputs": [], "nodes": [
                {"op": "If", "inputs": [], "outputs": [], "name": "",
                 "attributes": {"then_branch": {"graph": i + 1}}}]}
            for i in range(depth)
        ]  # fmt: skip
        document["graphs"] = [*graphs, {"inputs": [value], "outputs": [value], "nodes": []}]

    return change


W, NODE = ("constants", "w"), ("graphs", 0, "nodes", 1)


@pytest.mark.parametrize(
    "change, says",
    [
        (put("graphs", value=[]), "at least one"),
        (put("graphs", value={}), "graphs: expected list"),
        (put(*W, "start", value=2**40), r"20 bytes at \d+ of \d+"),
        (put(*W, "start", value=-64), "-64"),
        (put(*W, "start", value=4), "at byte 4"),
        (put(*W, "shape", value=[2**40]), "bytes at"),
        (put(*W, "shape", value=[-5, -1]), "-5"),
        (put(*W, "shape", value=[2**47, 2**47, 0]), "constant 'w'"),
        (put(*W, "shape", value=[1] * 33), "constant 'w'"),
        (put(*W, "shape", value=[2.5]), "constant 'w'"),
        (put(*W, "dtype", value="object"), "dtype 'object'"),
        (put(*W, "dtype", value=["float32"]), "dtype"),
        (put("constants", "texts", "nbytes", value=10**9), "bytes at"),
        (put("constants", "texts", "nbytes", value=2), "constant 'texts'"),
        (put("constants", "texts", "shape", value=[3]), "constant 'texts'"),
        (put(*NODE, "inputs", value=["nothing"]), "reads 'nothing', which is not there"),
        (put(*NODE, "outputs", value=["", "x"]), "makes 'x' again"),
        (put(*NODE, "inputs", value=[1]), "Odd: 1"),
        (put(*NODE, "op", value=None), "node.op: expected str"),
        (put(*NODE, "attributes", "i", value=True), "Odd.i"),
        (put(*NODE, "attributes", "i", value=[[1]]), "Odd.i"),
        (put(*NODE, "attributes", "i", value={"graph": 0}), "Odd.i"),
        (put(*NODE, "attributes", "i", value={"graph": 99}), "Odd.i"),
        (put(*NODE, "attributes", "i", value={"graph": 1}), "graph 1 occurs in two nodes"),
        (put(*NODE, "attributes", "i", value={"constant": "nothing"}), "Odd.i"),
        (put(*NODE, "attributes", "i", value={"constant": ["w"]}), "Odd.i"),
        (put(*NODE, "attributes", "i", value={"float": "1.0"}), "Odd.i"),
        (put("graphs", 0, "outputs", 0, "name", value="nothing"), "output 'nothing'"),
        (put("graphs", 0, "outputs", 0, "dtype", value="float99"), "dtype of 'y': 'float99'"),
        (put("graphs", 0, "inputs", 1, "name", value="x"), "two inputs of a name"),
        (put("graphs", 0, "inputs", 0, "shape", value=[-1]), "shape of 'x': -1"),
        (put("graphs", 0, "inputs", 0, "shape", value=[1] * 99), "99 sizes"),
        (put("metadata", "key", value=1), "metadata 'key'"),
        (nested(MAX_DEPTH), "deep"),
        (nested(5000), "deep"),
    ],
)
def test_a_graph_that_is_broken_is_refused_by_name(change, says):
    document, blob = stored()
    change(document := copy.deepcopy(document))
    with pytest.raises(FormatError, match=says) as refusal:
        read(document, blob)
    assert str(refusal.value).startswith("m.edge: graph.json")


def test_graphs_inside_of_graphs_are_read_as_deep_as_anybody_writes_them():
    document, blob = stored()
    nested(MAX_DEPTH - 1)(document)
    read(document, blob)


def places(value, path=()):
    """Every place in a document."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


ODD = [None, True, -1, 0, 3, 2**50, 0.5, "", "x", "graph", [], [1], ["x"], {}, {"graph": 1}]


def test_whatever_stands_at_a_place_the_reader_says_format_error_or_reads_it():
    document, blob = stored()
    random, refused = Random(0), 0
    for path in list(places(document))[1:]:
        for value in random.sample(ODD, 4):
            changed = copy.deepcopy(document)
            put(*path, value=value)(changed)
            try:
                read(changed, blob)
            except FormatError:
                refused += 1
    assert refused > 200
