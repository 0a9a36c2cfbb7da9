"""Small ONNX models, and what ONNX Runtime's tools make of them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

SHAPES = {"mlp": (4, 64), "cnn": (2, 8, 12, 12)}


def weights(random, **shapes):
    return [
        numpy_helper.from_array((0.2 * random.normal(size=shape)).astype(np.float32), name)
        for name, shape in shapes.items()
    ]


def model(nodes, initializers, shape, outputs, name="m", opset=17):
    """x, float32 of this shape, to y [N, outputs]."""
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", outputs])],
        initializers,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def mlp():
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("MatMul", ["x", "fc1"], ["a"]),
        helper.make_node("Add", ["a", "fc1_bias"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "fc2", "fc2_bias"], ["y"], transB=1),
    ]
    held = weights(random, fc1=(64, 96), fc1_bias=(96,), fc2=(32, 96), fc2_bias=(32,))
    return model(nodes, held, SHAPES["mlp"], 32)


def cnn():
    """A 3x3 convolution, a 1x1, a depthwise one with a residual, pooling, a classifier."""
    random = np.random.default_rng(2)
    three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "c1", "c1_bias"], ["a"], **three),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "c2", "c2_bias"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("Clip", ["c", "low", "high"], ["d"]),
        helper.make_node("Conv", ["d", "c3"], ["e"], group=16, **three),
        helper.make_node("Add", ["d", "e"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "fc", "fc_bias"], ["y"], transB=1),
    ]
    held = weights(
        random, c1=(16, 8, 3, 3), c1_bias=(16,), c2=(16, 16, 1, 1), c2_bias=(16,),
        c3=(16, 1, 3, 3), fc=(10, 16), fc_bias=(10,),
    )  # fmt: skip
    held += [numpy_helper.from_array(np.float32(v), n) for v, n in ((0, "low"), (6, "high"))]
    return model(nodes, held, SHAPES["cnn"], 10)


MODELS = {"mlp": mlp, "cnn": cnn}


def samples(name, count=4, seed=3):
    random = np.random.default_rng(seed)
    return [random.normal(size=SHAPES[name]).astype(np.float32) for _ in range(count)]


class Samples(CalibrationDataReader):
    def __init__(self, name):
        self.left = iter(samples(name))

    def get_next(self):
        return next(({"x": x} for x in self.left), None)


def static(folder: Path, name: str, kind: QuantFormat, **settings) -> Path:
    """As quantize_static writes it."""
    source, path = folder / f"{name}.onnx", folder / f"{name}.static.onnx"
    onnx.save(MODELS[name](), source)
    quantize_static(source, path, Samples(name), quant_format=kind, **settings)
    return path


def packed_nbits(codes: np.ndarray, bits: int) -> np.ndarray:
    """uint8 codes [rows, n] in bytes, low bits first."""
    per_byte = 8 // bits
    filled = np.pad(codes, ((0, 0), (0, -codes.shape[1] % per_byte)))
    parts = filled.reshape(len(codes), -1, per_byte).astype(np.uint16)
    return (parts << bits * np.arange(per_byte)).sum(axis=2).astype(np.uint8)


def matmul_nbits(codes, scales, zeros, bits, block):
    """The operator with these codes [N, K], scales [N, blocks], zeros alike or None."""
    n, k = codes.shape
    blocks = scales.shape[1]
    whole = np.pad(codes, ((0, 0), (0, blocks * block - k)))
    held = {"w_Q4": packed_nbits(whole, bits).reshape(n, blocks, -1), "s": scales.reshape(-1)}
    if zeros is not None:
        held["z"] = packed_nbits(zeros, bits).reshape(-1)
    settings = {"K": k, "N": n, "bits": bits, "block_size": block, "domain": "com.microsoft"}
    node = helper.make_node("MatMulNBits", ["x", *held], ["y"], **settings)
    tensors = [numpy_helper.from_array(array, name) for name, array in held.items()]
    return model([node], tensors, (1, k), n)
