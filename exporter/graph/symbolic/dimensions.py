"""Sizes of axes that may be known only by name, and arithmetic with them.

A dimension is a number or a text: the name of one, or how it is made of others, "(tokens+2)//2".
Two dimensions of the same text are the same number; of different ones nobody knows.
"""

import hashlib
import math
import re
from collections.abc import Sequence

from edge.format.graph import Dimension

Dim = int | str
Shape = tuple[Dim, ...]

MAX_TEXT = 200

_SHIFTED = re.compile(r"\((.+)([+-]\d+)\)")
_NAME = re.compile(r"[A-Za-z_][\w.\-]*")


def declared(dimension: Dimension, value: str, axis: int) -> Dim:
    """Of a model's input; exporters write "?" and the like for sizes that are not the same."""
    if isinstance(dimension, int) and dimension >= 0:
        return dimension
    if isinstance(dimension, str) and _NAME.fullmatch(dimension):
        return dimension
    return unknown(value, axis)


def unknown(value: str, axis: int) -> str:
    """The size of a value's axis, of which no more is known."""
    return f"{value}[{axis}]"


def add(a: Dim, b: Dim) -> Dim:
    """Numbers that are added to a name one after the other come to one number."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if isinstance(a, int):
        a, b = b, a
    if isinstance(a, int) or isinstance(b, str):
        return _short(f"({a}+{b})")
    found = _SHIFTED.fullmatch(a)
    base, shift = (found[1], int(found[2])) if found else (a, 0)
    return _short(f"({base}{shift + b:+d})") if shift + b else base


def subtract(a: Dim, b: Dim) -> Dim:
    if isinstance(b, int):
        return add(a, -b)
    return 0 if a == b else _short(f"({a}-{b})")


def multiply(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    if 0 in (a, b):
        return 0
    if 1 in (a, b):
        return a if b == 1 else b
    if _plain(a) and _plain(b):
        return _short("*".join(sorted(f"{a}*{b}".split("*"))))
    return _short(f"({a}*{b})")


def divide(a: Dim, b: Dim) -> Dim:
    """Rounded down."""
    if isinstance(a, int) and isinstance(b, int) and b:
        return a // b
    return a if b == 1 else _short(f"({a}//{b})")


def _short(text: str) -> str:
    """The same text for the same, but no long one: what is made of two would double every time."""
    return text if len(text) <= MAX_TEXT else hashlib.sha256(text.encode()).hexdigest()


def _plain(a: Dim) -> bool:
    """A number or a product of names: such are put into one order."""
    return isinstance(a, int) or not set(a) & set("()")


def product(shape: Sequence[Dim]) -> Dim:
    whole = math.prod(d for d in shape if isinstance(d, int))
    result: Dim = whole
    for d in shape:
        if isinstance(d, str):
            result = multiply(result, d)
    return result


def broadcast(shapes: Sequence[Shape], value: str) -> Shape:
    """Of what an elementwise operator makes; `value` is what it is called."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(
        _common(set(sizes), value, axis) for axis, sizes in enumerate(zip(*padded, strict=True))
    )


def _common(sizes: set[Dim], value: str, axis: int) -> Dim:
    sizes = sizes - {1}
    if len(sizes) <= 1:
        return next(iter(sizes), 1)
    numbers = [d for d in sizes if isinstance(d, int)]
    return numbers[0] if numbers else unknown(value, axis)


def as_reshape(before: Shape, after: Shape) -> tuple[int, ...] | None:
    """What to give Reshape to come from one shape to the other; None if it takes more than numbers.

    0 takes over the size of the same axis, and one size may follow from the others (-1).
    """
    if after.count(0) or before.count(0):
        return None  # there 0 would mean something else
    target = [
        d if isinstance(d, int) else 0 if axis < len(before) and before[axis] == d else -1
        for axis, d in enumerate(after)
    ]
    return tuple(target) if target.count(-1) <= 1 else None
