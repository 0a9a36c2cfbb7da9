"""Attention and embeddings of ONNX Runtime's own (com.microsoft), taken apart."""

from edge.format.graph import Node

from ..rewriting import Rewriting
from .microsoft import DOMAIN
from .parts import Parts
from .registry import refused, upgrades

LENGTHS_BY = DOMAIN + "EmbedLayerNormalization"  # its second output: how long each text is


@upgrades(LENGTHS_BY)
def embed_layer_normalization(node: Node, at: Rewriting) -> list[Node]:
    """Ids, segments, tables of words, positions and segments, gamma, beta, mask, positions."""
    parts = Parts(node, at)
    positions = parts.input(8) or _counted(parts, node.inputs[0])
    total = parts.add("Gather", node.inputs[2], node.inputs[0])
    total = parts.add("Add", total, parts.add("Gather", node.inputs[3], positions))
    if parts.input(1) and parts.input(4):
        segments = parts.add("Gather", parts.input(4), parts.input(1))
        total = parts.add("Add", total, segments)
    outputs = (*node.outputs, "", "")
    if outputs[2]:
        total = parts.add("Identity", total, output=outputs[2])
    if outputs[1]:
        _lengths(parts, outputs[1])
    epsilon = node.attributes.get("epsilon", 1e-12)
    scale = node.inputs[5:7]
    return parts.ending("LayerNormalization", total, *scale, axis=-1, epsilon=epsilon)


def _counted(parts: Parts, ids: str) -> str:
    """0, 1, ... for each place of ids [N, S]."""
    length = parts.add("Shape", ids, start=1, end=2)
    zero = parts.at.constant(0, "first")
    one = parts.at.constant(1, "step")
    return parts.add("Range", zero, parts.add("Squeeze", length), one)


def _lengths(parts: Parts, output: str) -> None:
    """int32 [N] of a mask [N, S]; 0 without one."""
    if parts.input(7):
        parts.add("ReduceSum", parts.input(7), parts.whole(1), output=output, keepdims=0)
        return
    rows = parts.add("Shape", parts.node.inputs[0], start=0, end=1)
    zeros = parts.add("Expand", parts.at.constant([0], "zero"), rows)
    parts.add("Cast", zeros, output=output, to="int32")


@upgrades(DOMAIN + "Attention")
def attention(node: Node, at: Rewriting) -> list[Node]:
    """x [N, S, H], weights [H, 3 H'] of queries, keys and values, bias, mask; without a cache."""
    parts = Parts(node, at)
    if any(node.inputs[4:5]) or any(node.inputs[6:]) or node.attributes.get("do_rotary"):
        raise refused(node, "attention with a cache or rotated")
    return _projected(parts, node.inputs[0], node.inputs[1], parts.input(3), parts.input(5))


@upgrades(DOMAIN + "QAttention")
def quantized_attention(node: Node, at: Rewriting) -> list[Node]:
    """Codes of x and of the weights, bias, both scales, mask, both zero points."""
    parts = Parts(node, at)
    if any(node.inputs[8:]):
        raise refused(node, "attention with a cache")
    x_scale, w_scale, mask = node.inputs[3], node.inputs[4], parts.input(5)
    x = parts.add("DequantizeLinear", node.inputs[0], x_scale, parts.input(6))
    w = parts.add("DequantizeLinear", node.inputs[1], w_scale, parts.input(7), axis=1)
    return _projected(parts, x, w, mask, "")


def _projected(parts: Parts, x: str, w: str, mask: str, bias: str) -> list[Node]:
    """Attention of queries, keys and values that x w and the node's third input are."""
    product = parts.add("MatMul", x, w)
    product = parts.add("Add", product, parts.input(2)) if parts.input(2) else product
    sizes = parts.node.attributes.get("qkv_hidden_sizes")
    if sizes:
        qkv = parts.several("Split", product, parts.whole(*sizes), count=3, axis=-1)
    else:
        qkv = parts.several("Split", product, count=3, axis=-1, num_outputs=3)
    return _attended(parts, qkv, _mask(parts, qkv[1], mask, bias))


@upgrades(DOMAIN + "MultiHeadAttention")
def multi_head_attention(node: Node, at: Rewriting) -> list[Node]:
    """Queries, keys, values [N, S, H], bias of all three, mask of keys, what is added to scores."""
    parts = Parts(node, at)
    if not parts.input(1) or not parts.input(2) or any(node.inputs[6:]) or any(node.outputs[1:]):
        raise refused(node, "packed attention, or with a cache")
    qkv = node.inputs[:3]
    if any(parts.rank(name) != 3 for name in qkv):
        raise refused(node, "keys or values that are cut into heads")
    if parts.input(3):
        biases = parts.several("Split", parts.input(3), count=3, axis=0, num_outputs=3)
        qkv = tuple(parts.add("Add", x, bias) for x, bias in zip(qkv, biases, strict=True))
    return _attended(parts, qkv, _mask(parts, qkv[1], parts.input(4), parts.input(5)))


def _attended(parts: Parts, qkv: tuple[str, ...], mask: str) -> list[Node]:
    given = parts.node.attributes
    heads = given["num_heads"]
    more = {"scale": given["scale"]} if given.get("scale") else {}
    inputs = (*qkv, mask) if mask else qkv
    return parts.ending(
        "Attention",
        *inputs,
        q_num_heads=heads,
        kv_num_heads=heads,
        is_causal=int(given.get("unidirectional", 0)),
        **more,
    )


def _mask(parts: Parts, k: str, keys: str, bias: str) -> str:
    """What is added to scores, with -inf at keys that are not to be seen; "" for nothing."""
    if not keys:
        return bias
    seen = _seen(parts, k, keys)
    if not bias:
        return seen
    nothing = parts.number(float("-inf"), parts.node.inputs[0])
    return parts.add("Where", seen, bias, nothing)


def _seen(parts: Parts, k: str, keys: str) -> str:
    """bool [N, 1, 1 or S, T] of lengths [N], or of a mask [N, T] or [N, S, T]."""
    maker = next((n for n in parts.at.graph.nodes if keys in n.outputs), None)
    rank = 1 if maker is not None and maker.op == LENGTHS_BY else parts.rank(keys)
    if rank == 1:
        count = parts.add("Squeeze", parts.add("Shape", k, start=1, end=2))
        ends = (parts.at.constant(0, "first"), count, parts.at.constant(1, "step"))
        places = parts.add("Cast", parts.add("Range", *ends), to="int32")
        return parts.add("Less", places, parts.add("Unsqueeze", keys, parts.whole(1, 2, 3)))
    if rank > 3:
        raise refused(parts.node, f"a mask of rank {rank}")
    axes = (1, 2) if rank == 2 else (1,)
    return parts.add("Unsqueeze", parts.add("Cast", keys, to="bool"), parts.whole(*axes))


@upgrades(DOMAIN + "RotaryEmbedding")
def rotary_embedding(node: Node, at: Rewriting) -> list[Node]:
    """x, positions, cosines, sines; ONNX has the positions last."""
    parts = Parts(node, at)
    if parts.rank(node.inputs[1]) != 2 or node.attributes.get("is_packed_batching"):
        raise refused(node, "positions that are not given one by one")
    kept = ("interleaved", "num_heads", "rotary_embedding_dim")
    attributes = {key: node.attributes[key] for key in kept if key in node.attributes}
    x, positions, cosines, sines = node.inputs
    return parts.ending("RotaryEmbedding", x, cosines, sines, positions, **attributes)
