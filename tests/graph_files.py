"""Small graphs written to files, and their results with kernels and in NumPy."""

import numpy as np

from edge.format.formats import QuantizedTensor, WeightFormat
from edge.format.graph import CONSTANTS, GRAPH, Graph, Node, Value
from edge.format.graph_config import GraphConfig
from edge.format.graph_json import encode
from edge.format.reader import EdgeFile
from edge.format.writer import EdgeWriter
from edge.runtime.graph import interpreter
from edge.runtime.graph.matrices import FileMatrices
from edge.runtime.graph.units.host import Host
from edge.runtime.graph_model import GraphModel
from edge.runtime.plan import Plan


class Building:
    """`b("Relu", "x")` adds a node and gives its output's name; `random` is for weights."""

    def __init__(self, seed=0):
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants, self.matrices = [], {}, {}

    def __call__(self, op, *inputs, outputs=1, **attributes):
        made = tuple(f"v{len(self.nodes)}.{i}" for i in range(outputs))
        self.nodes.append(Node(op, inputs, made, attributes, f"node {len(self.nodes)}"))
        return made[0] if outputs == 1 else made

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def floats(self, *shape):
        return self.constant(self.random.standard_normal(shape).astype(np.float32))

    def linear(self, x, columns, rows, form="float32"):
        weight = self.random.standard_normal((rows, columns)) / np.sqrt(columns)
        return self("edge.Linear", x, weight=self._matrix(weight, form))

    def conv(self, x, channels, rows, form="float32", **window):
        """`window`: kernel, strides, pads, dilations, where they are not those of 1x1."""
        window = {**PLAIN, **window}
        taps = int(np.prod(window["kernel"]))
        width = channels if form.startswith("float") else -(-channels // 16) * 16
        weight = np.zeros((rows, taps, width))
        weight[..., :channels] = self.random.standard_normal((rows, taps, channels))
        weight /= np.sqrt(taps * channels)
        name = self._matrix(weight.reshape(rows, -1), form)
        return self("edge.Conv", x, weight=name, channels=channels, **window)

    def _matrix(self, weight, form):
        name = f"m{len(self.matrices)}"
        bias = self.random.standard_normal(len(weight)).astype(np.float32)
        self.matrices[name] = weight.astype(np.float32), bias, form
        return name

    def write(self, path, inputs, outputs):
        """An .edge file with a graph from `inputs` {name: dtype} to these values."""
        values = tuple(Value(name, dtype) for name, dtype in inputs.items())
        graph = Graph(
            values, tuple(Value(n, "") for n in outputs), tuple(self.nodes), self.constants
        )
        text, constants = encode(graph)
        with EdgeWriter(path, 2 + 2 * len(self.matrices)) as writer:
            writer.add_bytes(GRAPH, text)
            writer.add_bytes(CONSTANTS, constants or bytes(64))
            for name, (weight, bias, form) in self.matrices.items():
                if bias is not None:
                    writer.add_vector(f"{name}.bias", bias)
                if form in ACTIVATIONS:
                    activation = ACTIVATIONS[form]
                    writer.add_matrix(f"{name}.weight", _rounded(weight), activation=activation)
                else:
                    writer.add_float_matrix(f"{name}.weight", weight, form)
            writer.document = {
                "kind": "graph",
                "config": GraphConfig("test", len(self.nodes), 17),
                "recipe": "float32",
                "source": {"name": "test", "sha256": "0" * 64},
                "parameters": 1,
                "tokenizer": None,
                "generation": None,
            }
        return EdgeFile(path)


ACTIVATIONS = {"int8": None, "w8a16": "float"}
PLAIN = {"kernel": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def _rounded(weight):
    scales = np.abs(weight).max(axis=1, keepdims=True) / np.float32(127)
    codes = (np.round(weight / scales) + 128).astype(np.uint8)
    return QuantizedTensor(WeightFormat("int8"), codes, scales.astype(np.float32))


def in_numpy(file, feeds):
    """The outputs by the operators' definitions."""
    model = GraphModel(file, threads=1)
    model.close()
    return interpreter.run(model.graph, feeds, FileMatrices(file))


def kernels_of(model):
    """Names of the kernels that a model has run so far, and operators that ran in NumPy."""
    steps = [step for program in model.programs() for step in program.steps]
    kernels = [op.kernel for step in steps if isinstance(step, Plan) for op in step.ops]
    return kernels, [step.node.op for step in steps if isinstance(step, Host)]
