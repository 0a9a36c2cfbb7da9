"""Elements that only change places as ops (kernels/moves.py)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...kernels.layout import MOST_TERMS
from ...plan import Op
from ..storage import Place, round_up
from .terms import flat, terms
from .unit import Context, Unit


@dataclass(eq=False)
class Move(Unit):
    """out[to][i] = x[offset + i . steps] for all indices i below `shape`.

    steps, to_steps      bytes from one index to the next, by axis; the last of `to_steps` is 4
    offset, to_offset    bytes
    clears               whether it writes the padding of the output's rows
    """

    x: Place
    out: Place
    shape: tuple[int, ...]
    offset: int
    steps: tuple[int, ...]
    to_offset: int
    to_steps: tuple[int, ...]
    clears: bool = True

    def reads(self) -> Iterator[Place]:
        yield self.x

    @property
    def fits(self) -> bool:
        outer = self.shape[:-2]
        found = terms(outer, self.steps[:-2]), terms(outer, self.to_steps[:-2])
        return bool(self.shape) and sum(map(len, found)) <= MOST_TERMS

    def ops(self, context: Context) -> list[Op]:
        x, out = self.x.address + self.offset, self.out.address + self.to_offset
        cleared = self.out.width - self.out.size if self.clears else 0
        return [moved(context, self.shape, (x, self.steps), (out, self.to_steps), cleared)]


_Array = tuple[int, tuple[int, ...]]  # address, steps


def moved(context: Context, shape: tuple[int, ...], x: _Array, out: _Array, cleared: int = 0) -> Op:
    rows, run = math.prod(shape[:-1]), (1, *shape)[-2]
    share = context.share(rows)
    starts = [terms(shape[:-2], steps[:-2]) for _, steps in (x, out)]
    arguments = (
        rows, share, shape[-1], x[0], x[1][-1], out[0], cleared,
        run, (0, *x[1])[-2], (0, *out[1])[-2],
        *map(len, starts), *flat(starts[0]), *flat(starts[1]),
    )  # fmt: skip
    return Op("move", arguments, -(-rows // share))


def padded(
    x: Place,
    made: Move | None,
    channels: int,
    pads: tuple[int, int, int, int],
    context: Context,
) -> tuple[list[Op], int, int]:
    """An op that copies an image [N, H, W, C] between borders of zeros, where, and bytes a pixel.

    `made`: how x would be made; then it is copied from there.
    """
    n, height, width, _ = x.shape
    top, left, below, right = pads
    pixel = 4 * round_up(channels, 4)
    row = (left + width + right) * pixel
    image = (top + height + below) * row
    address = context.memory.arena.allocate(n * image)  # its borders stay 0
    first = address + top * row + left * pixel
    source = x.address, x.steps()
    if made is not None:
        source = made.x.address + made.offset, made.steps
    shape, steps = (n, height, width, channels), (image, row, pixel, 4)
    return [moved(context, shape, source, (first, steps))], address, pixel
