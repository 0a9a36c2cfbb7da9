"""The layers of a graph that read a matrix: what their products see."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge.format.graph import Graph, Node

LINEAR, CONV, EMBEDDING = "edge.Linear", "edge.Conv", "edge.Embedding"
RECURRENT = ("edge.LSTM", "edge.GRU")  # their matrix multiplies what the step before gave
PRODUCTS = (LINEAR, CONV)  # their matrix multiplies what they read
LANES = 16  # to a multiple of which a convolution's matrix pads the channels of each tap


@dataclass(frozen=True)
class Layer:
    """A node and the name of its matrix.  Two nodes may share a matrix."""

    node: Node

    @property
    def name(self) -> str:
        return str(self.node.attributes["weight"])

    @property
    def op(self) -> str:
        return self.node.op

    @property
    def kernel(self) -> tuple[int, int]:
        height, width = self.node.attributes["kernel"] if self.op == CONV else (1, 1)
        return int(height), int(width)

    @property
    def has_window(self) -> bool:
        """Whether it is a convolution that sees more than a pixel."""
        return self.kernel != (1, 1)

    @property
    def is_padded(self) -> bool:
        return self.op == CONV and any(self.node.attributes["pads"])

    def rows(self, x: np.ndarray, random: np.random.Generator, most: int) -> np.ndarray:
        """float32 [at most `most`, columns of the matrix], of those that its product reads from x."""
        if self.op == LINEAR:
            tokens = x.reshape(-1, x.shape[-1])
            some: np.ndarray = tokens[_some(len(tokens), random, most)].astype(np.float32)
            return some
        return self._patches(x, random, most)

    def _patches(self, x: np.ndarray, random: np.random.Generator, most: int) -> np.ndarray:
        """What the kernel sees at some places of the output, tap by tap, channels padded."""
        a = self.node.attributes
        (top, left, below, right), (down, across) = a["pads"], a["strides"]
        padded = np.pad(x, ((0, 0), (top, below), (left, right), (0, 0)))
        height, width = (
            max(0, (size - dilation * (k - 1) - 1) // stride + 1)
            for size, k, stride, dilation in zip(
                padded.shape[1:3], a["kernel"], a["strides"], a["dilations"], strict=True
            )
        )
        at = _some(len(x) * height * width, random, most)
        image, place = np.divmod(at, max(1, height * width))  # of no places there are none
        y, z = place // max(1, width) * down, place % max(1, width) * across
        taps = [
            padded[image, y + i * a["dilations"][0], z + j * a["dilations"][1]]
            for i in range(a["kernel"][0])
            for j in range(a["kernel"][1])
        ]
        wide = -(-x.shape[-1] // LANES) * LANES - x.shape[-1]
        stacked: np.ndarray = np.pad(np.stack(taps, axis=1), ((0, 0), (0, 0), (0, wide)))
        return stacked.reshape(len(at), len(taps) * stacked.shape[2]).astype(np.float32)


def _some(count: int, random: np.random.Generator, most: int) -> np.ndarray:
    if count <= most:
        return np.arange(count)
    return np.sort(random.choice(count, most, replace=False))


def layers(graph: Graph) -> Iterator[Layer]:
    """Also of graphs inside nodes."""
    return (Layer(node) for node in graph.walk() if "weight" in node.attributes)


def narrow_taps(graph: Graph) -> dict[str, int]:
    """By matrix of convolutions whose taps are padded: how many channels they have."""
    convolutions = (layer for layer in layers(graph) if layer.op == CONV)
    channels = {layer.name: int(layer.node.attributes["channels"]) for layer in convolutions}
    return {name: count for name, count in channels.items() if count % LANES}


def unpadded(weight: np.ndarray, channels: int) -> np.ndarray:
    """[rows, taps x channels] of taps that are padded to LANES."""
    taps = weight.reshape(len(weight), -1, -(-channels // LANES) * LANES)
    return taps[..., :channels].reshape(len(weight), -1)


def matrices_of(node: Node) -> set[str]:
    """Those that a node or a graph inside it reads."""
    nodes = [node, *(inner for graph in node.graphs for inner in graph.walk())]
    return {str(n.attributes["weight"]) for n in nodes if "weight" in n.attributes}
