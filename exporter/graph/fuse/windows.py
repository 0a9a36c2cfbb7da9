"""What convolutions and poolings see of an image: kernels, strides, padding, dilations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.format.graph import Node

from .editing import Editing

LANES = 16  # to a multiple of which channels of each tap are padded


@dataclass(frozen=True)
class Windows:
    """What a convolution sees of an image; a signal [N, L, C] is one of height 1.

    w     [rows, channels of a group, kernel height, kernel width]
    fold  elements of a signal that are channels of one
    """

    w: np.ndarray
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    signal: bool = False
    fold: int = 1

    @property
    def is_point(self) -> bool:
        """Whether every place of the output sees one of the input, and no place is left out."""
        return not any(self.pads) and set(self.strides) == {1} and self.w[0, 0].size == 1

    @property
    def attributes(self) -> dict[str, Any]:
        return {"strides": self.strides, "pads": self.pads, "dilations": self.dilations}

    @property
    def matrix(self) -> np.ndarray:
        """float32 [rows, kernel height x kernel width x channels padded to 16]."""
        rows, channels, *kernel = self.w.shape
        padded = np.zeros((rows, *kernel, -(-channels // LANES) * LANES), np.float32)
        padded[..., :channels] = self.w.transpose(0, 2, 3, 1)
        return padded.reshape(rows, -1)


def windows_of(edit: Editing, node: Node, w: np.ndarray) -> Windows | None:
    """None where padding depends on sizes that are not known."""
    pads, spatial = padding(edit, node, w.shape[2:]), w.ndim - 2
    if pads is None:
        return None
    strides = tuple(node.attributes.get("strides", (1,) * spatial))
    dilations = tuple(node.attributes.get("dilations", (1,) * spatial))
    if spatial == 2:
        return Windows(w, strides, pads, dilations)
    flat = (0, pads[0], 0, pads[1])
    return Windows(w[:, :, None], (1, *strides), flat, (1, *dilations), signal=True)


def folded(edit: Editing, node: Node, windows: Windows) -> Windows:
    """A signal of few channels seen in whole runs: those become its channels, with no padding."""
    rows, channels, _, kernel = windows.w.shape
    shape, fold = edit.shape(node.inputs[0]), LANES // channels
    length = shape[2] if shape is not None else None
    runs = (kernel, windows.strides[1], windows.pads[1], windows.pads[3])
    if not windows.signal or fold < 2 or LANES % channels or windows.dilations != (1, 1):
        return windows
    if not isinstance(length, int) or any(size % fold for size in (length, *runs)):
        return windows
    by_run = windows.w.transpose(0, 3, 1, 2).reshape(rows, kernel // fold, LANES, 1)
    return Windows(
        by_run.transpose(0, 2, 3, 1),
        (1, windows.strides[1] // fold),
        tuple(pad // fold for pad in windows.pads),
        (1, 1),
        signal=True,
        fold=fold,
    )


def padding(edit: Editing, node: Node, kernel: Sequence[int]) -> tuple[int, ...] | None:
    """Of each axis before, then of each behind; None where they depend on sizes not known."""
    rank, auto = len(kernel), node.attributes.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return tuple(node.attributes.get("pads", (0,) * (2 * rank)))
    if auto == "VALID":
        return (0,) * (2 * rank)
    strides = node.attributes.get("strides", (1,) * rank)
    dilations = node.attributes.get("dilations", (1,) * rank)
    shape = edit.shape(node.inputs[0])
    before, behind = [], []
    for i, stride in enumerate(strides):
        reach, size = dilations[i] * (kernel[i] - 1) + 1, shape[i + 2] if shape else None
        if stride == 1:
            total = reach - 1
        elif isinstance(size, int):
            total = max(0, (-(-size // stride) - 1) * stride + reach - size)
        else:
            return None
        half = total // 2
        before.append(total - half if auto == "SAME_LOWER" else half)
        behind.append(total - before[-1])
    return (*before, *behind)
