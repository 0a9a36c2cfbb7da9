"""A unit: what it reads and writes, and the ops that it becomes once buffers have addresses."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...lowering.weights import Weights
from ...plan import Op, float_bits
from ..storage import Buffer, Memory, Place, round_up

CHUNKS_A_THREAD = 4  # at least: a slow core then holds up a quarter of its share


@dataclass
class Context:
    """What units need to become ops."""

    threads: int
    memory: Memory
    weights: Weights

    def share(self, work: int) -> int:
        """Pieces of `work` for a chunk."""
        return max(1, -(-work // (CHUNKS_A_THREAD * self.threads)))


@dataclass(eq=False)
class Codes:
    """int8 codes of pixels [N, H, W] with a scale and a start each, and borders of zeros.

    width    elements of a pixel
    borders  pixels above, left, below, right
    fixed    the scale of all, or 0: of each pixel its own
    """

    images: int
    height: int
    columns: int
    width: int
    borders: tuple[int, int, int, int] = (0, 0, 0, 0)
    fixed: float = 0.0
    buffer: Buffer = field(init=False)

    def __post_init__(self) -> None:
        self.buffer = Buffer(round_up(self.pixels * self.pixel_bytes, 64) + 2 * self.scale_bytes)

    @property
    def key(self) -> tuple[object, ...]:
        return self.height, self.columns, self.width, self.borders, self.fixed

    @property
    def full_height(self) -> int:
        return self.borders[0] + self.height + self.borders[2]

    @property
    def full_width(self) -> int:
        return self.borders[1] + self.columns + self.borders[3]

    @property
    def pixels(self) -> int:
        return self.images * self.full_height * self.full_width

    @property
    def pixel_bytes(self) -> int:
        return round_up(self.width, 16)

    @property
    def scale_bytes(self) -> int:
        return round_up(4 * self.pixels, 64)

    @property
    def codes(self) -> int:
        return self.buffer.address

    @property
    def scales(self) -> int:
        return self.codes + round_up(self.pixels * self.pixel_bytes, 64)

    @property
    def starts(self) -> int:
        return self.scales + self.scale_bytes


class Unit:
    """One step of a bound graph."""

    out: Place

    def reads(self) -> Iterator[Place]:
        raise NotImplementedError

    def buffers(self) -> Iterator[Buffer]:
        """All that it touches."""
        for place in self.reads():
            yield place.buffer
        yield self.out.buffer

    def scratch_bytes(self) -> int:
        """Memory of its own that a thread needs."""
        return 0

    def ops(self, context: Context) -> list[Op]:
        raise NotImplementedError


def sink(codes: Codes | None, memory: Memory, first: int = 0) -> int:
    """Address of a table for kernels/pixels.py, of an op whose first pixel has this number; or 0."""
    if codes is None:
        return 0
    top, left, below, right = codes.borders
    return memory.words([
        codes.codes, codes.pixel_bytes, codes.scales, codes.starts,
        codes.width, float_bits(codes.fixed), codes.height, codes.columns,
        top, below, left, right, first,
    ])  # fmt: skip
