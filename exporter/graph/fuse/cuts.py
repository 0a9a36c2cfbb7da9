"""Parts of a value are cut out before it is transposed or reshaped, as those of queries, keys and
values that one layer has made together."""

import math
from collections.abc import Iterable

from edge.format.graph import Node

from ..model import GraphModel
from ..symbolic.dimensions import Shape, as_reshape
from .cleanup import merge_transposes, permutation
from .editing import Editing, rewrite
from .layout import put, to_last

Interval = tuple[int, int]


def cut_first(model: GraphModel) -> GraphModel:
    """Slice, Split, Gather of one element and Squeeze before Transpose; the first three also before
    a Reshape that takes the last axis apart."""
    return rewrite(model, _change)


def _change(edit: Editing) -> None:
    for node in edit:
        if node.op in ("Slice", "Split", "Gather", "Squeeze"):
            if not cut_before_transpose(edit, node):
                _cut_before_reshape(edit, node)
        elif node.op == "Transpose":
            merge_transposes(edit, node)


# --- before a Transpose ---------------------------------------------------------------------------


def cut_before_transpose(edit: Editing, node: Node) -> bool:
    """Whether there was a Transpose to cut before."""
    maker = edit.maker(node.inputs[0], "Transpose")
    perm = permutation(edit, maker) if maker is not None else None
    axes = _axes(edit, node)
    if maker is None or perm is None or axes is None:
        return False
    if len(perm) > 3 and perm == to_last(len(perm)):
        return False  # once for all parts, before a convolution
    x, attributes, inputs = maker.inputs[0], dict(node.attributes), list(node.inputs[1:])
    moved, after = [perm[axis] for axis in axes], perm
    if node.op in ("Split", "Gather"):
        attributes["axis"] = moved[0]
    else:
        at = edit.add_integers(f"{node.outputs[0]}.axes", moved)
        inputs = [*inputs[:2], at, *inputs[3:]] if node.op == "Slice" else [at]
    if node.op in ("Gather", "Squeeze"):
        after = without_axes(perm, axes)
    put(edit, node, [], node.op, (x, *inputs), [after] * len(node.outputs), **attributes)
    return True


def without_axes(perm: tuple[int, ...], gone: Iterable[int]) -> tuple[int, ...]:
    """What is left of a permutation once its outputs `gone` are no more."""
    dropped = {axis % len(perm) for axis in gone}
    kept = [source for axis, source in enumerate(perm) if axis not in dropped]
    return tuple(sorted(kept).index(source) for source in kept)


def _axes(edit: Editing, node: Node) -> list[int] | None:
    """Which the node cuts, counted from the front."""
    rank = edit.rank(node.inputs[0])
    if not rank or (node.op == "Gather" and edit.rank(node.inputs[1]) != 0):
        return None
    if node.op in ("Split", "Gather"):
        return [node.attributes.get("axis", 0) % rank]
    place = 3 if node.op == "Slice" else 1
    given = node.inputs[place] if len(node.inputs) > place else ""
    axes = edit.integers(given) if given else None
    if not given and node.op == "Slice":
        count = edit.shape(node.inputs[1])
        axes = tuple(range(count[0])) if count and isinstance(count[0], int) else None
    return None if axes is None else [axis % rank for axis in axes]


# --- before a Reshape -----------------------------------------------------------------------------


def _cut_before_reshape(edit: Editing, node: Node) -> None:
    """[..., L] as [..., A, rest], cut along A."""
    maker, axes = edit.maker(node.inputs[0], "Reshape"), _axes(edit, node)
    if maker is None or axes is None or len(axes) != 1 or node.op == "Squeeze":
        return
    x, whole, split = maker.inputs[0], edit.shape(maker.inputs[0]), edit.shape(node.inputs[0])
    each = None if not whole or split is None else _rest(whole, split, axes[0])
    parts = _intervals(edit, node, axes[0])
    if whole is None or each is None or parts is None:
        return
    forms = [edit.shape(name) for name in node.outputs]
    sizes = [(stop - start) * each for start, stop in parts]
    targets = [
        as_reshape((*whole[:-1], size), form) if form is not None else None
        for size, form in zip(sizes, forms, strict=True)
    ]
    if any(target is None for target in targets):
        return
    like, axis = node.outputs[0], len(whole) - 1
    names = [edit.model.fresh(f"{name}.cut") for name in node.outputs]
    if node.op == "Split":
        lengths = edit.add_integers(f"{like}.sizes", sizes)
        cut = Node("Split", (x, lengths), tuple(names), {"axis": axis}, node.name)
    else:
        ((start, stop),) = parts
        bounds = ([start * each], [stop * each], [axis])
        at = (edit.add_integers(f"{like}.cut", numbers) for numbers in bounds)
        cut = Node("Slice", (x, *at), tuple(names), {}, node.name)
    views = [
        Node("Reshape", (name, edit.add_integers(f"{out}.shape", target or ())), (out,), {}, out)
        for name, out, target in zip(names, node.outputs, targets, strict=True)
    ]
    edit.replace(node, cut, *views)


def _rest(whole: Shape, split: Shape, axis: int) -> int | None:
    """Elements that belong to one of `axis`, where the last axis has been taken apart there."""
    rest = split[axis:]
    known = [size for size in rest if isinstance(size, int)]
    if axis != len(whole) - 1 or split[:axis] != whole[:-1] or len(known) < len(rest):
        return None
    return math.prod(known[1:]) if math.prod(known) == whole[-1] else None


def _intervals(edit: Editing, node: Node, axis: int) -> list[Interval] | None:
    """What is cut out, for each output."""
    shape = edit.shape(node.inputs[0])
    length = shape[axis] if shape is not None else None
    if not isinstance(length, int):
        return None
    if node.op == "Split":
        sizes = [(edit.shape(name) or ())[axis : axis + 1] for name in node.outputs]
        lengths = [size[0] for size in sizes if size and isinstance(size[0], int)]
        stops = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        if len(stops) < len(node.outputs):
            return None
        return list(zip([0, *stops[:-1]], stops, strict=True))
    if node.op == "Gather":
        index = edit.integers(node.inputs[1])
        if not index or not -length <= index[0] < length:
            return None
        return [(index[0] % length, index[0] % length + 1)]
    starts, ends = (edit.integers(name) for name in node.inputs[1:3])
    steps = edit.integers(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] else (1,)
    if starts is None or ends is None or steps != (1,):
        return None
    start, stop, _ = slice(starts[0], ends[0]).indices(length)
    return [(start, stop)] if start < stop else None
