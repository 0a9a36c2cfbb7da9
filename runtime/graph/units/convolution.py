"""Convolutions and matrix products as ops (kernels/convolution.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

from edge.format.formats import FLOATS

from ...lowering.weights import Matrix
from ...plan import Op, float_bits
from ..sliding import Sliding
from ..storage import Buffer, Place, round_up
from .move import Move, padded
from .unit import Codes, Context, Unit, sink

PIXELS = 64  # tokens of a product that are taken for a row of an image
BLOCK_BYTES = 192 * 1024  # of inputs: they stay in L2 while all tiles pass
LARGEST = 3.4028234663852886e38


PLAIN = Sliding()


@dataclass(eq=False)
class Convolution(Unit):
    """out = clamp(W x + bias + residual); `image` is (N, H, W) of x, None for a matrix product."""

    x: Place
    out: Place
    matrix: Matrix
    channels: int
    image: tuple[int, int, int] | None = None
    sliding: Sliding = PLAIN
    residual: Place | None = None
    low: float = -LARGEST
    high: float = LARGEST
    codes: Codes | None = None
    sink: Codes | None = None
    moved: Move | None = None  # what makes x, if nobody else reads that: it need not be made

    @property
    def is_int8(self) -> bool:
        return not self.matrix.form.is_float

    def wanted_codes(self) -> Codes | None:
        """How it wants x; None for floats."""
        if not self.is_int8:
            return None
        fixed = max(0.0, self.matrix.scale)
        if self.image is None:
            return Codes(1, self.x.rows, 1, self.x.width, fixed=fixed)
        n, height, width = self.image
        return Codes(n, height, width, self.x.width, self.sliding.pads, fixed)

    def reads(self) -> Iterator[Place]:
        if self.codes is None:
            yield self.x if self.moved is None else self.moved.x
        if self.residual is not None:
            yield self.residual

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        for codes in (self.codes, self.sink):
            if codes is not None:
                yield codes.buffer

    def ops(self, context: Context) -> list[Op]:
        if self.codes is not None:
            c = self.codes
            source = c.codes, c.pixel_bytes, c.scales, c.starts
            return [self._op(context, source, self._rows(), self.out.address)]
        before, address, stride = self._floats(context)
        source = address, stride, 0, 0
        return [*before, self._op(context, source, self._rows(), self.out.address)]

    def tokens(self, context: Context, first: int, count: int, out: int) -> Op:
        """Some rows of a matrix product, to another place."""
        if self.codes is not None:
            c = self.codes
            source = (
                c.codes + first * c.pixel_bytes, c.pixel_bytes,
                c.scales + 4 * first, c.starts + 4 * first,
            )  # fmt: skip
        else:
            source = self.x.address + first * self.x.stride, self.x.stride, 0, 0
        return self._op(context, source, _of_tokens(count), out)

    def _op(
        self, context: Context, source: tuple[int, ...], sizes: tuple[int, ...], out: int
    ) -> Op:
        """`source`: address and bytes of a pixel, scales, starts; `sizes`: as `_rows` has them."""
        form, taps = self.matrix.form, self.sliding.kernel[0] * self.sliding.kernel[1]
        steps, skip = round_up(self.channels, 16) // 16, 0
        if form.is_float:
            element = FLOATS[form.kind].itemsize
            steps, skip = self.channels, self.matrix.columns // taps - self.channels
            skip *= 16 * element
        rows, pixels, total, *slides = sizes
        blocks = min(context.share(rows), max(1, BLOCK_BYTES // (pixels * source[1])))
        row_blocks, tiles = -(-rows // blocks), form.tiles(self.matrix.rows)
        runs = max(1, min(tiles, -(-4 * context.threads // row_blocks)))
        tiles_each = -(-tiles // (1 if self.sink is not None else runs))
        residual = self.residual
        arguments = (
            rows, pixels, total, blocks, tiles, tiles_each,
            self.matrix.address, form.tile_bytes(self.matrix.columns), steps, skip,
            *source, out, self.out.stride, self.matrix.bias,
            residual.address if residual else 0, residual.stride if residual else 0,
            float_bits(self.low), float_bits(self.high), *slides,
            sink(self.sink, context.memory),
        )  # fmt: skip
        kind = "int8" if self.is_int8 else form.kind
        return Op(f"convolution-{kind}", arguments, row_blocks * -(-tiles // tiles_each))

    def _rows(self) -> tuple[int, ...]:
        """Rows, pixels of each, pixels in all, heights and width, and how the kernel slides."""
        s = self.sliding
        if self.image is None:
            return _of_tokens(self.x.rows)
        n, out_height, out_width = self.out.shape[:3]
        top, left, below, right = s.pads
        rows = n * out_height
        height, width = top + self.image[1] + below, left + self.image[2] + right
        return (
            rows, out_width, rows * out_width, out_height, height, width,
            *s.kernel, *s.strides, *s.dilations,
        )  # fmt: skip

    def _floats(self, context: Context) -> tuple[list[Op], int, int]:
        """Where the inputs are, with borders, and bytes from one pixel to the next."""
        if not any(self.sliding.pads):
            return [], self.x.address, self.x.stride
        return padded(self.x, self.moved, self.channels, self.sliding.pads, context)


def _of_tokens(count: int) -> tuple[int, ...]:
    """A matrix product's sizes."""
    rows = -(-count // PIXELS)
    return rows, PIXELS, count, rows, rows, PIXELS, 1, 1, 1, 1, 1, 1
