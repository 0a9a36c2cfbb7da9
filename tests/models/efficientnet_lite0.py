"""EfficientNet-Lite0 as ONNX, of PyTorch's weights: arXiv:1905.11946 without its gates, with ReLU6."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.models import torch_file

# repetitions, kernel, stride, expansion, channels
STAGES = [
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
]
SIZE = 224  # of its pictures
EPSILON = 1e-3  # of its batch norms


class _Builder:
    """Nodes one after the other; `size` is that of the picture where they are."""

    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights, self.nodes, self.tensors = weights, [], {}
        self.size = SIZE

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def tensor(self, name: str) -> str:
        self.tensors[name] = self.weights[name]
        return name

    def conv(self, x: str, name: str, norm: str, stride: int = 1, groups: int = 1) -> str:
        """Padded as TensorFlow pads: more behind than before."""
        kernel = self.weights[f"{name}.weight"].shape[-1]
        after = -(-self.size // stride)
        pad = max((after - 1) * stride + kernel - self.size, 0)
        pads = [pad // 2] * 2 + [pad - pad // 2] * 2
        self.size = after
        weight = self.tensor(f"{name}.weight")
        y = self.node("Conv", x, weight, strides=[stride] * 2, pads=pads, group=groups)
        parts = ("weight", "bias", "running_mean", "running_var")
        rest = [self.tensor(f"{norm}.{part}") for part in parts]
        return self.node("BatchNormalization", y, *rest, epsilon=EPSILON)

    def relu6(self, x: str) -> str:
        return self.node("Clip", x, "zero", "six")

    def block(self, x: str, name: str, stride: int, expansion: int) -> str:
        """A block that widens, looks around in each channel, and narrows."""
        y = x
        if expansion > 1:
            y = self.relu6(self.conv(y, f"{name}._expand_conv", f"{name}._bn0"))
        channels = len(self.weights[f"{name}._depthwise_conv.weight"])
        y = self.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, channels)
        return self.conv(self.relu6(y), f"{name}._project_conv", f"{name}._bn2")


def build(checkpoint: Path) -> onnx.ModelProto:
    """input float32 [N, 3, 224, 224] -> logits [N, 1000]."""
    b = _Builder(torch_file.read(checkpoint))
    b.tensors |= {"zero": np.float32(0), "six": np.float32(6)}
    x, number, channels = b.relu6(b.conv("input", "_conv_stem", "_bn0", 2)), 0, 32
    for repetitions, _, stride, expansion, outputs in STAGES:
        for i in range(repetitions):
            y = b.block(x, f"_blocks.{number}", stride if i == 0 else 1, expansion)
            same = i > 0 or (stride == 1 and channels == outputs)
            x, channels, number = b.node("Add", y, x) if same else y, outputs, number + 1
    x = b.node("Flatten", b.node("GlobalAveragePool", b.relu6(b.conv(x, "_conv_head", "_bn1"))))
    x = b.node("Gemm", x, b.tensor("_fc.weight"), b.tensor("_fc.bias"), transB=1)
    b.nodes[-1].output[0] = "logits"
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        b.nodes, "efficientnet_lite0",
        [helper.make_tensor_value_info("input", floats, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", floats, ["N", 1000])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in b.tensors.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
