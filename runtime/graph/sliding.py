"""How a kernel slides over an image that is channels last, by a node's attributes."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import FormatError
from edge.format.graph import Node

LARGEST_TAPS = 2**16


@dataclass(frozen=True)
class Sliding:
    """Sizes down and across; pads are above, left, below, right."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def places(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the output."""
        sizes = height + self.pads[0] + self.pads[2], width + self.pads[1] + self.pads[3]
        down, across = (
            max(0, (size - dilation * (kernel - 1) - 1) // stride + 1)
            for size, kernel, stride, dilation in zip(
                sizes, self.kernel, self.strides, self.dilations, strict=True
            )
        )
        return down, across


def sliding_of(node: Node, kernel: Sequence[int], shape: Sequence[int]) -> Sliding:
    """Over an image [N, H, W, C]; kernels may trust it.  Raises FormatError."""
    a = node.attributes
    if any(key not in a for key in ("strides", "pads", "dilations")):
        raise FormatError(f"{node}: expected strides, pads and dilations, found {sorted(a)}")
    parts = tuple(kernel), tuple(a["strides"]), tuple(a["pads"]), tuple(a["dilations"])
    integers = all(type(n) is int for part in parts for n in part)
    if [len(part) for part in parts] != [2, 2, 4, 2] or not integers:
        raise FormatError(f"{node}: expected sizes of two axes, found {parts!r:.100}")
    if min(*parts[0], *parts[1], *parts[3]) < 1 or min(parts[2]) < 0:
        raise FormatError(f"{node}: expected sizes from 1 and pads from 0, found {parts!r:.100}")
    if kernel[0] * kernel[1] > LARGEST_TAPS or len(shape) != 4:
        raise FormatError(f"{node}: expected an image [N, H, W, C], found {list(shape)}")
    return Sliding(*parts)  # type: ignore[arg-type]
