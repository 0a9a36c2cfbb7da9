"""Small tensors of integers that shapes are made of, element by element; part of shapes.py."""

from collections.abc import Callable

from edge.format.graph import Node

from .dimensions import Dim, Shape, add, divide, multiply, product, subtract
from .shapes import VALUE_RULES, Shapes, rule

Elements = tuple[Dim, ...]
ValueRule = Callable[[Shapes, Node], Elements | None]


def values(*ops: str) -> Callable[[ValueRule], ValueRule]:
    """Register what these operators' first output consists of."""

    def register(function: ValueRule) -> ValueRule:
        VALUE_RULES.update(dict.fromkeys(ops, function))
        return function

    return register


@rule("Shape")
def shape_of_shape(s: Shapes, node: Node) -> list[Shape | None]:
    found = shape(s, node)
    return [s.ranked(node.outputs[0], 1) if found is None else (len(found),)]


@values("Shape")
def shape(s: Shapes, node: Node) -> Elements | None:
    x = s.of(node.inputs[0])
    if x is None:
        return None
    return x[slice(node.attributes.get("start", 0), node.attributes.get("end", len(x)))]


@rule("Size")
def shape_of_size(s: Shapes, node: Node) -> list[Shape | None]:
    return [()]


@values("Size")
def size(s: Shapes, node: Node) -> Elements | None:
    x = s.of(node.inputs[0])
    return None if x is None else (product(x),)


@values("Identity", "Squeeze", "Unsqueeze", "Reshape")
def same(s: Shapes, node: Node) -> Elements | None:
    shape = s.of(node.outputs[0])
    return s.elements_of(node.inputs[0]) if shape is not None and len(shape) <= 1 else None


@values("Cast")
def cast(s: Shapes, node: Node) -> Elements | None:
    whole = node.attributes["to"] in ("int32", "int64")
    return s.elements_of(node.inputs[0]) if whole else None


@values("Gather")
def gather(s: Shapes, node: Node) -> Elements | None:
    found, indices = s.elements_of(node.inputs[0]), s.integers(node.inputs[1])
    if found is None or indices is None or s.of(node.inputs[0]) == ():
        return None
    if not all(-len(found) <= i < len(found) for i in indices):
        return None
    return tuple(found[i] for i in indices)


@values("Slice")
def sliced(s: Shapes, node: Node) -> Elements | None:
    found = s.elements_of(node.inputs[0])
    starts, ends, axes, steps = [s.integers(n) if n else (1,) for n in (*node.inputs, "", "")][1:5]
    if found is None or starts is None or ends is None or axes is None or steps is None:
        return None
    return found[slice(starts[0], ends[0], steps[0])]


@values("Concat")
def concat(s: Shapes, node: Node) -> Elements | None:
    parts = [s.elements_of(name) for name in node.inputs]
    known = [part for part in parts if part is not None]
    return tuple(d for part in known for d in part) if len(known) == len(parts) else None


@values("Add", "Sub", "Mul", "Div")
def arithmetic(s: Shapes, node: Node) -> Elements | None:
    a, b = (s.elements_of(name) for name in node.inputs)
    if a is None or b is None or (len(a) != len(b) and 1 not in (len(a), len(b))):
        return None
    if node.op == "Div" and not all(isinstance(d, str) or d > 0 for d in (*a, *b)):
        return None  # where something is negative, or may be, Div rounds to the other side
    length = 0 if 0 in (len(a), len(b)) else max(len(a), len(b))
    rule = {"Add": add, "Sub": subtract, "Mul": multiply, "Div": divide}[node.op]
    a, b = (part * length if len(part) == 1 else part for part in (a, b))
    return tuple(rule(x, y) for x, y in zip(a, b, strict=True))


@values("Equal")
def equal(s: Shapes, node: Node) -> Elements | None:
    """Truths as 1 and 0; no size of an axis is negative."""
    a, b = (s.elements_of(name) for name in node.inputs)
    if a is None or b is None or (len(a) != len(b) and 1 not in (len(a), len(b))):
        return None
    length = max(len(a), len(b))
    a, b = (part * length if len(part) == 1 else part for part in (a, b))
    found = [_equal(x, y) for x, y in zip(a, b, strict=True)]
    known = [truth for truth in found if truth is not None]
    return tuple(map(int, known)) if len(known) == len(found) else None


def _equal(a: Dim, b: Dim) -> bool | None:
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    if any(isinstance(d, int) and d < 0 for d in (a, b)):
        return False
    return True if a == b else None


@values("Where")
def where(s: Shapes, node: Node) -> Elements | None:
    truths, a, b = (s.elements_of(name) for name in node.inputs)
    if truths is None or a is None or b is None:
        return None
    length = max(map(len, (truths, a, b)))
    if not all(len(part) in (1, length) for part in (truths, a, b)):
        return None
    truths, a, b = (part * length if len(part) == 1 else part for part in (truths, a, b))
    return tuple(x if truth else y for truth, x, y in zip(truths, a, b, strict=True))


@rule("ConstantOfShape")
def shape_of_filled(s: Shapes, node: Node) -> list[Shape | None]:
    target, length = s.elements_of(node.inputs[0]), s.of(node.inputs[0])
    if target is None and length is not None and isinstance(length[0], int):
        return [s.ranked(node.outputs[0], length[0])]
    return [target]


@values("ConstantOfShape")
def filled(s: Shapes, node: Node) -> Elements | None:
    lengths, value = s.integers(node.inputs[0]), node.attributes.get("value")
    if lengths is None or len(lengths) > 1 or value is None or value.dtype.kind not in "iu":
        return None
    length = lengths[0] if lengths else 1
    return (int(value.ravel()[0]),) * length if length <= 64 else None
