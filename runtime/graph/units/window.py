"""Depthwise convolutions and pooling as ops (kernels/windows.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...kernels.catalogue import SQUARES
from ...plan import Op, float_bits
from ..sliding import Sliding
from ..storage import LANES, Buffer, Memory, Place
from .convolution import LARGEST
from .unit import Codes, Context, Unit, sink


@dataclass(frozen=True)
class Rows:
    """Rows of an output, counted over all images; `top`: padding above them, None: the whole's."""

    first: int
    end: int
    top: int | None = None


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
    stores: bool = True
    _placed: tuple[int, int] | None = None

    def reads(self) -> Iterator[Place]:
        yield self.x

    def buffers(self) -> Iterator[Buffer]:
        yield self.x.buffer
        if self.stores:
            yield self.out.buffer
        if self.sink is not None:
            yield self.sink.buffer

    def scratch_bytes(self) -> int:
        return 0 if self.stores else self.out.shape[2] * self.out.stride

    def ops(self, context: Context) -> list[Op]:
        n, height, _, _ = self.x.shape
        return [self.rows(context, Rows(0, n * self.out.shape[1]), self.x.address, height)]

    def rows(self, context: Context, rows: "Rows", x: int, height: int) -> Op:
        """Some rows of the output, of inputs at `x` that are `height` rows high."""
        _, out_height, width, _ = self.out.shape
        count, blocks = rows.end - rows.first, self.x.width // LANES
        share = context.share(count)
        row_chunks = -(-count // share)
        runs = 1
        if self.sink is None:
            runs = max(1, min(blocks, -(-4 * context.threads // row_chunks)))
        each = -(-blocks // runs)
        s, memory = self.sliding, context.memory
        out = self.out.address + rows.first * width * self.out.stride if self.stores else 0
        arguments = (
            count, width, share, blocks, each,
            x, self.x.stride, height, self.x.shape[2],
            out, self.out.stride, min(count, out_height),
            *self._weights(memory), float_bits(self.low), float_bits(self.high),
            *s.kernel, *s.strides, *s.dilations, s.pads[0] if rows.top is None else rows.top,
            s.pads[1], self.counted, sink(self.sink, memory, rows.first * width),
        )  # fmt: skip
        return Op(self._kernel(), arguments, row_chunks * -(-blocks // each))

    def _kernel(self) -> str:
        height, width = self.sliding.kernel
        if self.kind == "depthwise" and height == width and height in SQUARES:
            return f"window-depthwise-{height}"
        return f"window-{self.kind}"

    def _weights(self, memory: Memory) -> tuple[int, int]:
        """Addresses; bands of rows share them."""
        if self.weight is None:
            return 0, 0
        if self._placed is None:
            channels = self.weight.shape[-1]
            bias = self.bias if self.bias is not None else np.zeros(channels, np.float32)
            self._placed = memory.floats(self.weight), memory.floats(bias.reshape(1, channels))
        return self._placed
