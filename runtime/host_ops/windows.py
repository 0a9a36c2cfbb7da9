"""A kernel that moves over the last axes of an array: where it stands, and what it sees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """Of each axis: the kernel's size, how far it moves, the distance of its elements, what is
    added before and after (`begins`, `ends`), and how many places it takes (`sizes`)."""

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    begins: Sizes
    ends: Sizes
    sizes: Sizes

    def padded(self, x: np.ndarray, fill: Any) -> np.ndarray:
        """x with as much around it as the last places need."""
        widths = [(0, 0)] * (x.ndim - len(self.kernel))
        for axis, (begin, end) in enumerate(zip(self.begins, self.ends, strict=True)):
            needed = (self.sizes[axis] - 1) * self.strides[axis] - begin
            needed += span(self.kernel[axis], self.dilations[axis])
            widths.append((begin, max(end, needed - x.shape[len(widths)])))
        return np.pad(x, widths, constant_values=fill) if any(map(any, widths)) else x

    def taps(self, padded: np.ndarray) -> Iterator[tuple[Sizes, np.ndarray]]:
        """(place in the kernel, view [..., *sizes] of what stands under it)."""
        for tap in product(*map(range, self.kernel)):
            yield tap, padded[last(self.seen(tap))]

    def seen(self, tap: Sizes) -> tuple[slice, ...]:
        steps = zip(tap, self.dilations, self.strides, self.sizes, strict=True)
        return tuple(
            slice(t * d, t * d + (n - 1) * s + 1 if n else t * d, s) for t, d, s, n in steps
        )


def last(places: Sequence[Any]) -> Any:
    """An index into the last axes."""
    return (..., *places)


def span(kernel: int, dilation: int) -> int:
    """How much a kernel covers."""
    return (kernel - 1) * dilation + 1


def windows(
    shape: Sizes,
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> Windows:
    """By ONNX's attributes, over axes of these sizes; `pads` are all begins, then all ends."""
    axes = len(kernel)
    strides, dilations = (tuple(given or (1,) * axes) for given in (strides, dilations))
    if min((*kernel, *strides, *dilations), default=1) < 1:
        raise ValueError(f"kernel {kernel}, strides {strides}, dilations {dilations}: from 1 on")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        around = [
            _same(n, s, span(k, d), auto_pad)
            for n, s, k, d in zip(shape, strides, kernel, dilations, strict=True)
        ]
    else:
        listed = pads if pads and auto_pad != "VALID" else (0,) * (2 * axes)
        around = list(zip(listed[:axes], listed[axes:], strict=True))
    sizes = tuple(
        _places(n, pad, span(k, d), s, bool(ceil_mode) and not auto_pad.startswith("SAME"))
        for n, pad, k, d, s in zip(shape, around, kernel, dilations, strides, strict=True)
    )
    begins, ends = (tuple(pad[i] for pad in around) for i in (0, 1))
    return Windows(tuple(kernel), strides, dilations, begins, ends, sizes)


def _same(size: int, stride: int, covered: int, auto_pad: str) -> tuple[int, int]:
    """Padding for a place per stride; an odd one goes to the end, or with SAME_LOWER before."""
    total = max(0, (-(-size // stride) - 1) * stride + covered - size)
    less, more = total // 2, total - total // 2
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


def _places(size: int, pad: tuple[int, int], covered: int, stride: int, ceil: bool) -> int:
    room = size + sum(pad) - covered
    if room < 0:
        raise ValueError(f"a kernel over {covered} does not fit into {size} with padding {pad}")
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return (
        count - 1 if (count - 1) * stride >= size + pad[0] else count
    )  # none in the end's padding
