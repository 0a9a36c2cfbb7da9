"""Convolutions and matrix products as ops (kernels/convolution.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...lowering.weights import Matrix
from ...plan import Op, float_bits
from ..storage import Buffer, Place, round_up
from .move import padded
from .unit import Codes, Context, Unit, sink

PIXELS = 64  # tokens of a product that are taken for a row of an image
BLOCK_BYTES = 192 * 1024  # of inputs: they stay in L2 while all tiles pass
LARGEST = 3.4028234663852886e38


@dataclass(frozen=True)
class Sliding:
    """How a kernel slides over an image; pads are above, left, below, right."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)


@dataclass(eq=False)
class Convolution(Unit):
    """out = clamp(W x + bias + residual); `image` is (N, H, W) of x, None for a matrix product."""

    x: Place
    out: Place
    matrix: Matrix
    channels: int
    image: tuple[int, int, int] | None = None
    sliding: Sliding = Sliding()
    residual: Place | None = None
    low: float = -LARGEST
    high: float = LARGEST
    codes: Codes | None = None
    sink: Codes | None = None

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
            yield self.x
        if self.residual is not None:
            yield self.residual

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        for codes in (self.codes, self.sink):
            if codes is not None:
                yield codes.buffer

    def ops(self, context: Context) -> list[Op]:
        taps = self.sliding.kernel[0] * self.sliding.kernel[1]
        tap_columns = self.matrix.columns // taps
        before: list[Op] = []
        if self.codes is not None:
            c = self.codes
            source = (c.codes, c.pixel_bytes, c.scales, c.starts)
            steps, skip = round_up(self.channels, 16) // 16, 0
        else:
            before, address = self._floats(context)
            element = 4 if self.matrix.form.kind == "float32" else 2
            source = (address, self.x.stride, 0, 0)
            steps, skip = self.channels, 16 * element * (tap_columns - self.channels)
        rows, pixels, total, *sizes = self._rows()
        blocks = context.share(rows)
        blocks = min(blocks, max(1, BLOCK_BYTES // (pixels * source[1])))
        form = self.matrix.form
        tiles = form.tiles(self.matrix.rows)
        row_blocks = -(-rows // blocks)
        runs = max(1, min(tiles, -(-4 * context.threads // row_blocks)))
        if self.sink is not None:
            runs = 1
        tiles_each = -(-tiles // runs)
        arguments = (
            rows, pixels, total, blocks, tiles, tiles_each,
            self.matrix.address, form.tile_bytes(self.matrix.columns), steps, skip,
            *source, self.out.address, self.out.stride, self.matrix.bias,
            self.residual.address if self.residual else 0,
            self.residual.stride if self.residual else 0,
            float_bits(self.low), float_bits(self.high), *sizes,
            0 if self.sink is None else sink(self.sink, context.memory),
        )  # fmt: skip
        kind = "int8" if self.is_int8 else form.kind
        chunks = row_blocks * -(-tiles // tiles_each)
        return [*before, Op(f"convolution-{kind}", arguments, chunks)]

    def _rows(self) -> tuple[int, ...]:
        """Rows, pixels of each, pixels in all, heights and width, and how the kernel slides."""
        s = self.sliding
        if self.image is None:
            rows = -(-self.x.rows // PIXELS)
            return rows, PIXELS, self.x.rows, rows, rows, PIXELS, 1, 1, 1, 1, 1, 1
        n, out_height, out_width = self.out.shape[:3]
        top, left, below, right = s.pads
        rows = n * out_height
        height, width = top + self.image[1] + below, left + self.image[2] + right
        return (
            rows, out_width, rows * out_width, out_height, height, width,
            *s.kernel, *s.strides, *s.dilations,
        )  # fmt: skip

    def _floats(self, context: Context) -> tuple[list[Op], int]:
        """Where the inputs are, with borders."""
        if not any(self.sliding.pads):
            return [], self.x.address
        return padded(self.x, self.sliding.pads, context)
