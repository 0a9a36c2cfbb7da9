"""An expansion and the depthwise convolution behind it, band by band of an image's rows.

What lies between the two is the largest value of a mobile network, and is read once.  Made in bands it
stays in the processor's cache, and takes a band's memory instead of an image's.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..plan import Op
from .lowering import touched
from .storage import Buffer, Place
from .units.convolution import Convolution
from .units.host import Host
from .units.unit import Context, Unit
from .units.window import Rows, Window

BAND_BYTES = 768 * 1024  # of what lies between, for each thread: about what its L2 cache holds


def in_bands(
    units: list[Unit | Host], places: Mapping[str, Place], kept: set[Buffer], threads: int
) -> list[Unit | Host]:
    """The same units, with pairs that fit as one."""
    users = Counter(buffer for unit in units for buffer in set(touched(unit, places)))
    makers = {unit.out.buffer: unit for unit in units if isinstance(unit, Convolution)}
    result = list(units)
    for unit in units:
        if not isinstance(unit, Window):
            continue
        product = makers.get(unit.x.buffer)
        if product is None or users[unit.x.buffer] != 2 or unit.x.buffer in kept:
            continue
        if _fits(product, unit, threads * BAND_BYTES):
            result.remove(product)
            result[result.index(unit)] = Bands(product, unit, threads * BAND_BYTES)
    return result


def _fits(product: Convolution, window: Window, most: int) -> bool:
    is_plain = product.image is None and product.residual is None and product.sink is None
    if not is_plain or product.out.rows != window.x.rows or product.out.size != window.x.size:
        return False
    return window.x.rows * window.x.stride > most


@dataclass(eq=False)
class Bands(Unit):
    """A matrix product and what slides over its result, of which a band has so many bytes at most."""

    product: Convolution
    window: Window
    most: int
    band: Buffer = field(init=False)

    def __post_init__(self) -> None:
        self.out = self.window.out
        longest = max(end - first for _, first, end in self._bands())
        self.band = Buffer(longest * self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return self.window.x.shape[2] * self.window.x.stride

    def reads(self) -> Iterator[Place]:
        return self.product.reads()

    def buffers(self) -> Iterator[Buffer]:
        mine = self.window.x.buffer
        for unit in (self.product, self.window):
            yield from (buffer for buffer in unit.buffers() if buffer is not mine)
        yield self.band

    def scratch_bytes(self) -> int:
        return self.window.scratch_bytes()

    def ops(self, context: Context) -> list[Op]:
        width, ops = self.window.x.shape[2], []
        for rows, first, end in self._bands():
            pixels = first * width, (end - first) * width
            ops.append(self.product.tokens(context, *pixels, self.band.address))
            ops.append(self.window.rows(context, rows, self.band.address, end - first))
        return ops

    def _bands(self) -> Iterator[tuple[Rows, int, int]]:
        """Rows of the output, and the rows of the input (over all images) that they see."""
        images, height, _, _ = self.window.x.shape
        out_height, s = self.window.out.shape[1], self.window.sliding
        reach, step = (s.kernel[0] - 1) * s.dilations[0], s.strides[0]
        each = max(1, (self.most // self._row_bytes - reach) // step)
        for image in range(images):
            for row in range(0, out_height, each):
                last = min(row + each, out_height) - 1
                begin = row * step - s.pads[0]
                first = max(0, min(begin, height - 1))
                end = max(first + 1, min(height, last * step - s.pads[0] + reach + 1))
                at = image * out_height
                rows = Rows(at + row, at + last + 1, first - begin)
                yield rows, image * height + first, image * height + end
