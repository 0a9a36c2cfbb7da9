"""Attention and softmax as ops (kernels/scores.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...kernels.layout import SPARE_BYTES
from ...plan import Op, float_bits
from ..storage import Place, round_up
from .unit import Context, Unit

TOGETHER = 8  # queries that a thread works on at once


@dataclass(eq=False)
class Attention(Unit):
    """softmax(scale Q K^T + mask) V of [N, S, heads * D]; see edge.Attention."""

    q: Place
    k: Place
    v: Place
    mask: Place | None
    out: Place
    heads: int
    kv_heads: int
    scale: float

    def reads(self) -> Iterator[Place]:
        yield from (self.q, self.k, self.v)
        if self.mask is not None:
            yield self.mask

    @property
    def _row_bytes(self) -> int:
        return 4 * round_up(self.k.shape[1] + 16, 16)

    def scratch_bytes(self) -> int:
        keys = 4 * round_up(self.k.shape[1], 16) * (self.q.size // self.heads)
        return keys + TOGETHER * self._row_bytes + SPARE_BYTES

    def ops(self, context: Context) -> list[Op]:
        texts, queries, _ = self.q.shape
        blocks = max(1, min(-(-queries // 32), -(-4 * context.threads // (texts * self.heads))))
        block = round_up(-(-queries // blocks), TOGETHER)
        blocks = -(-queries // block)
        arguments = (
            self.q.address, self.q.stride, queries,
            self.k.address, self.k.stride, self.v.address, self.v.stride, self.k.shape[1],
            self.out.address, self.out.stride, self.heads, self.heads // self.kv_heads,
            self.q.size // self.heads, self.v.size // self.kv_heads, float_bits(self.scale),
            self._row_bytes, *self._mask(), blocks, block,
        )  # fmt: skip
        return [Op("masked-attention", arguments, texts * self.heads * blocks)]

    def _mask(self) -> tuple[int, int, int, int]:
        if self.mask is None:
            return 0, 0, 0, 0
        shape = (1,) * (4 - len(self.mask.shape)) + self.mask.shape
        steps = Place(self.mask.buffer, shape).steps()
        text, head, query = (
            0 if size == 1 else step for size, step in zip(shape[:3], steps[:3], strict=True)
        )
        return self.mask.address, text, head, query


@dataclass(eq=False)
class Softmax(Unit):
    """Over rows."""

    x: Place
    out: Place

    def reads(self) -> Iterator[Place]:
        yield self.x

    def ops(self, context: Context) -> list[Op]:
        share = context.share(self.x.rows)
        arguments = (
            self.x.rows, share, self.x.size,
            self.x.address, self.x.stride, self.out.address, self.out.stride,
        )  # fmt: skip
        return [Op("softmax", arguments, -(-self.x.rows // share))]
