"""Layer and root mean square norms over rows as ops (kernels/activations.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...kernels.layout import ACTIVATION_TOKENS
from ...plan import Op, float_bits
from ..storage import Buffer, Place
from .unit import Codes, Context, Unit

ZERO = 128  # of int8 codes


@dataclass(eq=False)
class Norm(Unit):
    """`kind`: "layernorm" or "norm", with float32 weight and bias [size]."""

    kind: str
    x: Place
    out: Place
    weight: np.ndarray
    bias: np.ndarray
    epsilon: float
    sink: Codes | None = None

    def reads(self) -> Iterator[Place]:
        yield self.x

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        if self.sink is not None:
            yield self.sink.buffer

    def ops(self, context: Context) -> list[Op]:
        x, out, memory = self.x, self.out, context.memory
        weight, bias = (memory.floats(a.reshape(1, x.size)) for a in (self.weight, self.bias))
        codes, name = (0, 0, 0, 0, 0, 0), f"plain-{self.kind}-float"
        if self.sink is not None:
            c = self.sink
            codes = c.codes, c.pixel_bytes, c.scales, c.starts, 4, ZERO
            name = f"plain-{self.kind}-row"
        arguments = (
            memory.words([x.rows]), x.address, x.stride, 0, 0, out.address, out.stride,
            x.width, x.size, weight, float_bits(self.epsilon), *codes,
            bias, float_bits(self.sink.fixed if self.sink else 0.0),
        )  # fmt: skip
        return [Op(name, arguments, -(-x.rows // ACTIVATION_TOKENS))]
