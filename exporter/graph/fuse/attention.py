"""Softmax attention as edge.Attention, however scores are scaled and masked and heads are split."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.format.graph import Node

from ..model import GraphModel
from ..symbolic.dimensions import Dim, Shape, as_reshape
from .editing import Editing, rewrite
from .scores import Scores, scores_of, unscaled

ATTENTION = "edge.Attention"
BY_TOKEN = (0, 2, 1, 3)  # [N, heads, S, D] <-> [N, S, heads, D]

Turned = tuple[
    str, tuple[int, ...]
]  # a value, and the permutation that makes [N, T, heads, D] of it


def recognise_attention(model: GraphModel) -> GraphModel:
    """Between values [N, S, heads x D], with the reshapes that this takes."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        if node.op == "MatMul":
            _spelled(edit, node)
        elif node.op == "Attention":
            _named(edit, node)


def _spelled(edit: Editing, node: Node) -> None:
    """softmax(scores) V."""
    (weights, v), guards = node.inputs, _guards(edit, node.inputs[0])
    if guards:
        weights = guards[0].inputs[2]
    softmax, rank = edit.maker(weights, "Softmax"), edit.rank(weights)
    if softmax is None or rank not in (3, 4):
        return
    if softmax.attributes.get("axis", -1) % rank != rank - 1:
        return
    found = scores_of(edit, softmax.inputs[0])
    if found is None:
        return
    inside = [node, *guards, softmax, *found.nodes]
    if not all(edit.only(name, inside) for n in inside[1:] for name in n.outputs):
        return
    scale, q = unscaled(edit, found.q, found.scale)
    scale, k = unscaled(edit, found.k, scale)
    found = replace(found, q=q, k=k, scale=scale)
    if rank == 4:
        _heads(edit, node, found, _keys(edit, k), v)
    else:
        _one_head(edit, node, found, v)


def _guards(edit: Editing, weights: str) -> list[Node]:
    """Nodes that write 0 for NaN, as a query has that sees no key: edge.Attention has 0 there."""
    choice = edit.maker(weights, "Where")
    test = edit.maker(choice.inputs[0], "IsNaN") if choice is not None else None
    if choice is None or test is None or edit.scalar(choice.inputs[1]) != 0:
        return []
    return [choice, test] if test.inputs == choice.inputs[2:] else []


# --- heads ----------------------------------------------------------------------------------------


def _heads(edit: Editing, node: Node, scores: Scores, keys: Turned, v: str) -> None:
    like = node.outputs[0]
    turned: list[Turned] = [(scores.q, BY_TOKEN), keys, (v, BY_TOKEN)]
    nodes: list[Node] = []
    for i, (name, perm) in enumerate(turned):
        if perm == BY_TOKEN and (shared := _shared(edit, name)):
            nodes += shared
            turned[i] = shared[0].outputs[0], perm
    shapes = [_permuted(edit.shape(name), perm) for name, perm in turned]
    if any(shape is None or len(shape) != 4 for shape in shapes):
        return
    q_shape, k_shape, v_shape = (shape or () for shape in shapes)
    heads, kv_heads, width = q_shape[2], k_shape[2], v_shape[3]
    sizes = (heads, kv_heads, q_shape[3], width)
    if not _fit(q_shape[0], k_shape[0], v_shape[0], sizes):
        return
    if v_shape[2] != kv_heads or k_shape[3] != q_shape[3]:
        return
    inputs: list[str] = []
    for (name, perm), shape, part in zip(turned, (q_shape, k_shape, v_shape), "qkv", strict=True):
        form = edit.add_integers(f"{like}.{part}.shape", (0, 0, int(shape[2]) * int(shape[3])))
        nodes.append(edit.node("Transpose", (name,), f"{like}.{part}.heads", perm=perm))
        nodes.append(edit.node("Reshape", (nodes[-1].outputs[0], form), f"{like}.{part}"))
        inputs += nodes[-1].outputs
    inputs += filter(None, [scores.mask])
    settings = {"heads": heads, "kv_heads": kv_heads, "scale": scores.scale}
    mixed = edit.node(ATTENTION, inputs, f"{like}.mixed", **settings)
    form = edit.add_integers(f"{like}.shape", (0, 0, int(heads), int(width)))
    split = edit.node("Reshape", (mixed.outputs[0], form), f"{like}.heads")
    back = Node("Transpose", split.outputs, node.outputs[:1], {"perm": BY_TOKEN}, node.name)
    edit.replace(node, *nodes, *scores.before, mixed, split, back)


def _permuted(shape: Shape | None, perm: Sequence[int]) -> Shape | None:
    if shape is None or len(shape) != len(perm):
        return None
    return tuple(shape[axis] for axis in perm)


def _fit(q: Dim, k: Dim, v: Dim, sizes: Sequence[Dim]) -> bool:
    """One batch, and heads of known number and width that share keys evenly."""
    if not q == k == v or not all(isinstance(size, int) and size > 0 for size in sizes):
        return False
    return int(sizes[0]) % int(sizes[1]) == 0


def _keys(edit: Editing, name: str) -> Turned:
    """What [N, heads, D, T] is made of, and the permutation that makes [N, T, heads, D] of it."""
    maker = edit.maker(name, "Transpose")
    if maker is not None and tuple(maker.attributes.get("perm", ())) == (0, 1, 3, 2):
        return maker.inputs[0], BY_TOKEN
    return name, (0, 3, 1, 2)


def _shared(edit: Editing, name: str) -> list[Node]:
    """A node that makes [N, kv heads, T, D] of what a value repeats for heads that share it."""
    joined = edit.maker(name, "Reshape")
    repeated = edit.maker(joined.inputs[0], "Expand") if joined is not None else None
    if joined is None or repeated is None:
        return []
    one, many, after = (edit.shape(n) or () for n in (repeated.inputs[0], joined.inputs[0], name))
    if len(one) != 5 or len(many) != 5:
        return []
    (n, heads, single, t, d), times = one, many[2]
    if single != 1 or not isinstance(heads, int) or not isinstance(times, int):
        return []
    target = as_reshape(one, (n, heads, t, d))
    if target is None or many != (n, heads, times, t, d) or after != (n, heads * times, t, d):
        return []
    form = edit.add_integers(f"{name}.shared", target)
    return [edit.node("Reshape", (repeated.inputs[0], form), f"{name}.shared")]


def _one_head(edit: Editing, node: Node, scores: Scores, v: str) -> None:
    """[N, S, D]: heads that are part of the batch, or one."""
    shapes = [edit.shape(name) for name in (scores.q, scores.k, v)]
    if any(shape is None or len(shape) != 3 for shape in shapes):
        return
    q_shape, k_shape, v_shape = (shape or () for shape in shapes)
    if not _fit(q_shape[0], k_shape[0], v_shape[0], (1, 1, q_shape[2], v_shape[2])):
        return
    like, before, mask = node.outputs[0], list(scores.before), scores.mask
    before.append(edit.node("Transpose", (scores.k,), f"{like}.k", perm=(0, 2, 1)))
    inputs = (scores.q, before[-1].outputs[0], v)
    if edit.rank(mask) == 3:
        axis = edit.add_integers(f"{like}.axis", [1])
        before.append(edit.node("Unsqueeze", (mask, axis), f"{like}.mask.heads"))
        mask = before[-1].outputs[0]
    settings = {"heads": 1, "kv_heads": 1, "scale": scores.scale}
    names = (*inputs, *filter(None, [mask]))
    edit.replace(node, *before, Node(ATTENTION, names, node.outputs, settings, node.name))


# --- ONNX's own operator --------------------------------------------------------------------------


def _named(edit: Editing, node: Node) -> None:
    """Attention without a cache and without what edge.Attention lacks."""
    (q, k, v, mask, *cache), given = (*node.inputs, "", "", "", "")[:7], node.attributes
    plain = not any(cache) and not any(map(edit.is_read, filter(None, node.outputs[1:])))
    plain = plain and not given.get("is_causal", 0) and not given.get("softcap", 0.0)
    plain = plain and all(given.get(f"{side}_window_size", -1) == -1 for side in ("left", "right"))
    q_shape, k_shape, v_shape = (edit.shape(name) or () for name in (q, k, v))
    if not plain or len(q_shape) not in (3, 4) or not len(q_shape) == len(k_shape) == len(v_shape):
        return
    added = _mask(edit, node, mask, k_shape[-2])
    if added is None:
        return
    heads, kv_heads = given.get("q_num_heads", 1), given.get("kv_num_heads", 1)
    width = q_shape[-1] // heads if isinstance(q_shape[-1], int) else 0
    if not width:
        return
    scale = given.get("scale", 1 / math.sqrt(width))
    if len(q_shape) == 4:
        scores = Scores(q, k, scale, *added)
        _heads(edit, node, scores, (k, BY_TOKEN), v)
    elif _fit(q_shape[0], k_shape[0], v_shape[0], (heads, kv_heads, k_shape[2], v_shape[2])):
        inputs = (q, k, v, *filter(None, [added[0]]))
        settings = {"heads": heads, "kv_heads": kv_heads, "scale": scale}
        own = Node(ATTENTION, inputs, node.outputs[:1], settings, node.name)
        edit.replace(node, *added[2], own)


def _mask(
    edit: Editing, node: Node, mask: str, length: Dim
) -> tuple[str, tuple[Node, ...], tuple[Node, ...]] | None:
    """What to add to scores, the nodes that compute it now (none), and those to be added."""
    if not mask:
        return "", (), ()
    shape = edit.shape(mask)
    if not shape or shape[-1] not in (1, length):
        return None  # one that is shorter than the keys excludes those beyond it
    if edit.shapes.dtype(mask) != "bool":
        return (mask, (), ()) if edit.shapes.dtype(mask) == "float32" else None
    like = f"{node.outputs[0]}.mask"
    numbers = [edit.add_constant(like, np.array(x, np.float32)) for x in (0, -np.inf)]
    where = edit.node("Where", (mask, *numbers), like)
    return where.outputs[0], (), (where,)
