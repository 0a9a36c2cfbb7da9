"""Depthwise convolutions and pooling as ops (kernels/windows.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...kernels.catalogue import SQUARES
from ...plan import Op, float_bits
from ..storage import LANES, Buffer, Memory, Place, round_up
from .convolution import LARGEST, Sliding
from .unit import Codes, Context, Unit, sink


@dataclass(eq=False)
class Window(Unit):
    """`kind`: depthwise, max or average, of an image [N, H, W, C].

    weight, bias  float32 [kernel height, kernel width, C], [C] or None
    counted       taps that an average is over; 0: those inside of the image
    """

    kind: str
    x: Place
    out: Place
    sliding: Sliding
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    counted: int = 0
    low: float = -LARGEST
    high: float = LARGEST
    sink: Codes | None = None

    def reads(self) -> Iterator[Place]:
        yield self.x

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        if self.sink is not None:
            yield self.sink.buffer

    def ops(self, context: Context) -> list[Op]:
        n, in_height, in_width, _ = self.x.shape
        _, height, width, _ = self.out.shape
        rows, blocks = n * height, self.x.width // LANES
        share = context.share(rows)
        row_chunks = -(-rows // share)
        runs = 1
        if self.sink is None:
            runs = max(1, min(blocks, -(-4 * context.threads // row_chunks)))
        each = -(-blocks // runs)
        s, memory = self.sliding, context.memory
        arguments = (
            rows, width, share, blocks, each,
            self.x.address, self.x.stride, in_height, in_width,
            self.out.address, self.out.stride, height,
            *self._weights(memory), float_bits(self.low), float_bits(self.high),
            *s.kernel, *s.strides, *s.dilations, s.pads[0], s.pads[1], self.counted,
            0 if self.sink is None else sink(self.sink, memory),
        )  # fmt: skip
        return [Op(self._kernel(), arguments, row_chunks * -(-blocks // each))]

    def _kernel(self) -> str:
        height, width = self.sliding.kernel
        if self.kind == "depthwise" and height == width and height in SQUARES:
            return f"window-depthwise-{height}"
        return f"window-{self.kind}"

    def _weights(self, memory: Memory) -> tuple[int, int]:
        if self.weight is None:
            return 0, 0
        channels = self.weight.shape[-1]
        bias = self.bias if self.bias is not None else np.zeros(channels, np.float32)
        return memory.floats(self.weight), memory.floats(bias.reshape(1, round_up(channels, 1)))
