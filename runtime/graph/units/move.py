"""Elements that only change places as ops (kernels/moves.py)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...kernels.moves import MOST_TERMS
from ...plan import Op
from ..storage import Place
from .terms import Term, flat, terms
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

    def terms(self) -> tuple[list[Term], list[Term]]:
        outer = self.shape[:-1]
        return terms(outer, self.steps[:-1]), terms(outer, self.to_steps[:-1])

    @property
    def fits(self) -> bool:
        return bool(self.shape) and sum(map(len, self.terms())) <= MOST_TERMS

    def ops(self, context: Context) -> list[Op]:
        x, out = self.x.address + self.offset, self.out.address + self.to_offset
        cleared = self.out.width - self.out.size if self.clears else 0
        return [moved(context, self.shape, x, self.steps[-1], out, cleared, *self.terms())]


def moved(
    context: Context,
    shape: tuple[int, ...],
    x: int,
    step: int,
    out: int,
    cleared: int,
    from_terms: list[Term],
    to_terms: list[Term],
) -> Op:
    rows = math.prod(shape[:-1])
    share = context.share(rows)
    arguments = (
        rows, share, shape[-1], x, step, out, cleared,
        len(from_terms), len(to_terms), *flat(from_terms), *flat(to_terms),
    )  # fmt: skip
    return Op("move", arguments, -(-rows // share))


def padded(x: Place, pads: tuple[int, int, int, int], context: Context) -> tuple[list[Op], int]:
    """An op that copies an image [N, H, W, C] between borders of zeros, and where."""
    n, height, width, _ = x.shape
    top, left, below, right = pads
    full = left + width + right
    image = (top + height + below) * full * x.stride
    address = context.memory.arena.allocate(n * image)  # its borders stay 0
    first = address + (top * full + left) * x.stride
    shape = n, height, width, x.width
    rows = shape[:3]
    to = terms(rows, (image, full * x.stride, x.stride))
    return [moved(context, shape, x.address, 4, first, 0, [(1, 0, x.stride)], to)], address
