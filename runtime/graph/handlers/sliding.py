"""How a kernel slides over an image, by a node's attributes."""

from edge.format.graph import Node

from ..lowering import Lowering
from ..units.convolution import Sliding

LARGEST_TAPS = 2**16


def sliding_of(self: Lowering, node: Node, kernel: tuple[int, ...]) -> Sliding:
    """Attributes as kernels may trust them."""
    a = node.attributes
    parts = (tuple(kernel), tuple(a["strides"]), tuple(a["pads"]), tuple(a["dilations"]))
    sizes = (2, 2, 4, 2)
    integers = all(type(n) is int for part in parts for n in part)
    if [len(part) for part in parts] != list(sizes) or not integers:
        raise self.broken(node, "kernel, strides, pads and dilations of an image", parts)
    if min(*parts[0], *parts[1], *parts[3]) < 1 or min(parts[2]) < 0:
        raise self.broken(node, "sizes from 1 and pads from 0", parts)
    if kernel[0] * kernel[1] > LARGEST_TAPS or len(self.shape(node.inputs[0])) != 4:
        raise self.broken(node, "an image [N, H, W, C]", self.shape(node.inputs[0]))
    return Sliding(*parts)  # type: ignore[arg-type]
