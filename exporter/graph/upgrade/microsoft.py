"""Operators of ONNX Runtime's own (com.microsoft) that its optimizer makes of ONNX's: taken apart.

What they mean is said in ONNX Runtime's docs/ContribOperators.md.
"""

from typing import Any

from edge.format.graph import Node

from ..rewriting import Rewriting
from .parts import Parts
from .registry import refused, upgrades, without

DOMAIN = "com.microsoft."
ACTIVATIONS = {  # their parameters in the order in which FusedConv lists them
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}


@upgrades(DOMAIN + "Gelu")
def gelu(node: Node, at: Rewriting) -> list[Node]:
    return [Node("Gelu", node.inputs, node.outputs, {}, node.name)]


@upgrades(DOMAIN + "BiasGelu")
def bias_gelu(node: Node, at: Rewriting) -> list[Node]:
    parts = Parts(node, at)
    return parts.ending("Gelu", parts.add("Add", *node.inputs))


@upgrades(DOMAIN + "FastGelu")
def fast_gelu(node: Node, at: Rewriting) -> list[Node]:
    parts = Parts(node, at)
    x = node.inputs[0]
    x = parts.add("Add", x, parts.input(1)) if parts.input(1) else x
    return parts.ending("Gelu", x, approximate="tanh")


@upgrades(DOMAIN + "QuickGelu")
def quick_gelu(node: Node, at: Rewriting) -> list[Node]:
    alpha = node.attributes.get("alpha", 1.702)
    return [Node("Swish", node.inputs, node.outputs, {"alpha": alpha}, node.name)]


@upgrades(DOMAIN + "SkipLayerNormalization")
def skip_layer_normalization(node: Node, at: Rewriting) -> list[Node]:
    """Input, skip, gamma, beta, bias; gives the sum that was normalized as its fourth output."""
    parts = Parts(node, at)
    total = _skipped(parts, parts.input(4))
    scale = (parts.input(2), parts.input(3)) if parts.input(3) else (parts.input(2),)
    return parts.ending("LayerNormalization", total, *scale, axis=-1, epsilon=_epsilon(node, 1e-12))


@upgrades(DOMAIN + "SkipSimplifiedLayerNormalization")
def skip_rms_normalization(node: Node, at: Rewriting) -> list[Node]:
    """Input, skip, gamma, bias."""
    parts = Parts(node, at)
    total = _skipped(parts, parts.input(3))
    epsilon = _epsilon(node, 1e-6)
    return parts.ending("RMSNormalization", total, parts.input(2), axis=-1, epsilon=epsilon)


def _epsilon(node: Node, default: float) -> float:
    return float(node.attributes.get("epsilon", default))


def _skipped(parts: Parts, bias: str) -> str:
    """Input + skip (+ bias), by the name of the fourth output if that is wanted."""
    outputs = parts.node.outputs
    if any(outputs[1:3]):
        raise refused(parts.node, "mean and deviation as outputs, which is for training")
    wanted = outputs[3] if len(outputs) > 3 else ""
    first = parts.add("Add", *parts.node.inputs[:2], output="" if bias else wanted)
    return parts.add("Add", first, bias, output=wanted) if bias else first


@upgrades(DOMAIN + "FusedMatMul", DOMAIN + "TransposeMatMul")
def fused_matmul(node: Node, at: Rewriting) -> list[Node]:
    """alpha A B, with the last two axes of either turned first."""
    if node.attributes.get("transBatchA") or node.attributes.get("transBatchB"):
        raise refused(node, "a product whose batch axes are turned")
    parts = Parts(node, at)
    operands = [
        parts.turned(name) if node.attributes.get(f"trans{side}") else name
        for side, name in zip("AB", node.inputs, strict=True)
    ]
    alpha = node.attributes.get("alpha", 1.0)
    if alpha == 1:
        return parts.ending("MatMul", *operands)
    return parts.ending("Mul", parts.add("MatMul", *operands), parts.number(alpha, node.inputs[0]))


@upgrades(DOMAIN + "FusedGemm")
def fused_gemm(node: Node, at: Rewriting) -> list[Node]:
    parts = Parts(node, at)
    prefix = "activation"
    own = {key: v for key, v in node.attributes.items() if not key.startswith(prefix)}
    y = parts.add("Gemm", *node.inputs, **own)
    name = node.attributes.get(prefix, "")
    given = {key: node.attributes.get(f"{prefix}_{key}") for key in ACTIVATIONS.get(name, ())}
    return _activated(parts, y, name, {k: v for k, v in given.items() if v is not None})


@upgrades(DOMAIN + "FusedConv")
def fused_conv(node: Node, at: Rewriting) -> list[Node]:
    """A convolution, the sum with a fourth input, an activation."""
    parts = Parts(node, at)
    y = parts.add("Conv", *node.inputs[:3], **without(node, "activation", "activation_params"))
    y = parts.add("Add", y, parts.input(3)) if parts.input(3) else y
    name = node.attributes.get("activation", "")
    numbers = node.attributes.get("activation_params", ())
    if name == "Clip":
        return parts.ending("Clip", y, *(parts.number(n, node.inputs[0]) for n in numbers))
    return _activated(parts, y, name, dict(zip(ACTIVATIONS.get(name, ()), numbers, strict=False)))


def _activated(parts: Parts, y: str, name: str, attributes: dict[str, Any]) -> list[Node]:
    if not name:
        return parts.ending("Identity", y)
    if name not in ACTIVATIONS:
        raise refused(parts.node, f"activation {name!r:.40}")
    return parts.ending(name, y, **attributes)
