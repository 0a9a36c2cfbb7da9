"""Linear interpolation of images as an op (kernels/resize.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...plan import Op
from ..storage import LANES, Buffer, Memory, Place
from .unit import Context, Unit

Taps = tuple[np.ndarray, np.ndarray]  # of an axis: places int64 and weights float32, [wanted, 2]


@dataclass(eq=False)
class Resize(Unit):
    """An image [N, H, W, C] to another height and width."""

    x: Place
    out: Place
    down: Taps
    across: Taps

    def reads(self) -> Iterator[Place]:
        yield self.x

    def buffers(self) -> Iterator[Buffer]:
        yield self.x.buffer
        yield self.out.buffer

    def ops(self, context: Context) -> list[Op]:
        n, height, width, _ = self.out.shape
        image, row, pixel, _ = self.x.steps()
        rows, memory = n * height, context.memory
        share = context.share(rows)
        arguments = (
            rows, share, width, self.x.width // LANES,
            self.x.address, image, self.out.address, self.out.stride, height,
            _table(self.down, row, memory), _table(self.across, pixel, memory),
        )  # fmt: skip
        return [Op("resize", arguments, -(-rows // share))]


def _table(taps: Taps, step: int, memory: Memory) -> int:
    places, weights = taps
    bits = np.ascontiguousarray(weights, np.float32).view(np.int32).astype(np.int64)
    return memory.words(np.hstack([places * step, bits]).ravel().tolist())
