"""A BERT encoder as ONNX, spelled as PyTorch's exporter spells it, with mean pooling."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

I64 = np.int64
LEAST = float(np.finfo(np.float32).min)  # what a masked score becomes


class _Builder:
    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights, self.nodes, self.tensors = weights, [], {}

    def node(self, op: str, *inputs: Any, **attributes: Any) -> str:
        """Inputs are names of values, or arrays."""
        output = f"/{op}_{len(self.nodes)}_output_0"
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        self.nodes.append(helper.make_node(op, names, [output], output[:-9], **attributes))
        return output

    def constant(self, value: Any) -> str:
        """As a node, which is how PyTorch writes small ones."""
        array = np.asarray(value)
        output = f"/Constant_{len(self.nodes)}_output_0"
        tensor = numpy_helper.from_array(array)
        self.nodes.append(helper.make_node("Constant", [], [output], value=tensor))
        return output

    def tensor(self, name: str) -> str:
        self.tensors[name] = self.weights[name]
        return name

    def linear(self, x: str, name: str) -> str:
        self.tensors[f"onnx::{name}"] = self.weights[f"{name}.weight"].T.copy()
        return self.node(
            "Add", self.tensor(f"{name}.bias"), self.node("MatMul", x, f"onnx::{name}")
        )

    def norm(self, x: str, name: str, epsilon: float) -> str:
        """Layer normalization spelled out, as before opset 17."""
        centred = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        square = self.node("Pow", centred, np.float32(2))
        variance = self.node("ReduceMean", square, axes=[-1])
        root = self.node("Sqrt", self.node("Add", variance, np.float32(epsilon)))
        scaled = self.node("Mul", self.node("Div", centred, root), self.tensor(f"{name}.weight"))
        return self.node("Add", scaled, self.tensor(f"{name}.bias"))

    def gelu(self, x: str) -> str:
        halves = self.node("Erf", self.node("Div", x, np.float32(2**0.5)))
        whole = self.node("Mul", x, self.node("Add", halves, np.float32(1)))
        return self.node("Mul", whole, np.float32(0.5))

    def size(self, x: str, axis: int) -> str:
        """int64 [1]."""
        size = self.node("Gather", self.node("Shape", x), I64(axis), axis=0)
        return self.node("Unsqueeze", size, I64([0]))

    def heads(self, x: str, heads: int, width: int, order: list[int]) -> str:
        rest = [self.constant(I64([heads])), self.constant(I64([width]))]
        shape = self.node("Concat", self.size(x, 0), self.size(x, 1), *rest, axis=0)
        return self.node("Transpose", self.node("Reshape", x, shape), perm=order)


def build(folder: Path) -> onnx.ModelProto:
    """input_ids, attention_mask int64 [texts, tokens] -> embedding float32 [texts, hidden]."""
    config = json.loads((folder / "config.json").read_text())
    b, epsilon = _Builder(load_file(folder / "model.safetensors")), config["layer_norm_eps"]
    added = _mask(b)
    x = b.norm(_embedded(b), "embeddings.LayerNorm", epsilon)
    for layer in range(config["num_hidden_layers"]):
        x = _block(b, x, f"encoder.layer.{layer}", config["num_attention_heads"], added, epsilon)
    _pooled(b, x)
    axes = ["texts", "tokens"]
    inputs = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        b.nodes, "main_graph",
        [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in inputs],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", None])],
        [numpy_helper.from_array(array, name) for name, array in b.tensors.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def _mask(b: _Builder) -> str:
    """float32 [texts, 1, 1, tokens]: 0, or the least that there is."""
    mask = b.node("Unsqueeze", b.node("Unsqueeze", "attention_mask", I64([1])), I64([2]))
    inverted = b.node("Sub", np.float32(1), b.node("Cast", mask, to=TensorProto.FLOAT))
    masked = b.node("Cast", inverted, to=TensorProto.BOOL)
    return b.node("Where", masked, np.float32(LEAST), inverted)


def _embedded(b: _Builder) -> str:
    words = b.node("Gather", b.tensor("embeddings.word_embeddings.weight"), "input_ids")
    types = b.weights["embeddings.token_type_embeddings.weight"][0]
    tokens = b.size("input_ids", 1)
    positions = b.tensor("embeddings.position_embeddings.weight")
    known = b.node("Slice", positions, I64([0]), tokens, I64([0]), I64([1]))
    return b.node("Add", b.node("Add", words, types), known)


def _block(b: _Builder, x: str, name: str, heads: int, added: str, epsilon: float) -> str:
    width = len(b.weights[f"{name}.attention.self.query.bias"]) // heads
    q, k, v = (
        b.heads(b.linear(x, f"{name}.attention.self.{part}"), heads, width, order)
        for part, order in (
            ("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]),
        )
    )  # fmt: skip
    scores = b.node("Div", b.node("MatMul", q, k), np.float32(width**0.5))
    weights = b.node("Softmax", b.node("Add", scores, added), axis=-1)
    context = b.node("Transpose", b.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    rest = b.constant(I64([heads * width]))
    shape = b.node("Concat", b.size(context, 0), b.size(context, 1), rest, axis=0)
    found = b.linear(b.node("Reshape", context, shape), f"{name}.attention.output.dense")
    x = b.norm(b.node("Add", found, x), f"{name}.attention.output.LayerNorm", epsilon)
    wide = b.gelu(b.linear(x, f"{name}.intermediate.dense"))
    narrow = b.linear(wide, f"{name}.output.dense")
    return b.norm(b.node("Add", narrow, x), f"{name}.output.LayerNorm", epsilon)


def _pooled(b: _Builder, x: str) -> None:
    """The mean over a text's tokens, of unit length."""
    mask = b.node("Cast", b.node("Unsqueeze", "attention_mask", I64([2])), to=TensorProto.FLOAT)
    total = b.node("ReduceSum", b.node("Mul", x, mask), I64([1]), keepdims=0)
    mean = b.node("Div", total, b.node("ReduceSum", mask, I64([1]), keepdims=0))
    length = b.node("ReduceL2", mean, axes=[1], keepdims=1)
    b.node("Div", mean, b.node("Clip", length, np.float32(1e-12)))
    b.nodes[-1].output[0] = "embedding"
