"""LSTM and GRU layers as ops: a product and a gates' kernel (kernels/gates.py) for every step."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...lowering.weights import Matrix
from ...plan import Op
from ..storage import Buffer, Place, place
from .chain import Chain, Instruction, Operand
from .convolution import Convolution
from .unit import Codes, Context, Unit, sink


@dataclass(eq=False)
class Recurrent(Unit):
    """Of what the input gives to each gate, at every step.

    kind      "lstm" or "gru"
    gates     [T, N, gates x H]
    matrix    [gates x H, H]: what the state gives
    h, c      [N, H] before the first step; None: zeros, of an LSTM only
    out       [T, N, H]
    last_h    [N, H], or None: nobody wants it
    last_c    [N, H], of an LSTM only: where the cell is kept
    backward  whether the last step comes first
    """

    kind: str
    gates: Place
    matrix: Matrix
    h: Place | None
    c: Place | None
    out: Place
    last_h: Place | None
    last_c: Place | None
    backward: bool
    _states: Place = field(init=False)
    _codes: Codes | None = field(init=False)

    def __post_init__(self) -> None:
        self._states = place(self.gates.shape[1:])
        self._codes = self._product(place(self.out.shape[1:])).wanted_codes()

    def reads(self) -> Iterator[Place]:
        yield self.gates
        yield from (state for state in (self.h, self.c) if state is not None)

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        yield self._states.buffer
        for more in (self.last_h, self.last_c):
            if more is not None:
                yield more.buffer
        if self._codes is not None:
            yield self._codes.buffer

    def scratch_bytes(self) -> int:
        return Chain(self.out, None).scratch_bytes()

    def ops(self, context: Context) -> list[Op]:
        steps = range(self.gates.shape[0])
        h, c = (_zeros(self.out, context) if s is None else s for s in (self.h, self.c))
        ops = [] if self._codes is None else Chain(h, None, self._codes).ops(context)
        table = 0 if self._codes is None else sink(self._codes, context.memory)
        for t in reversed(steps) if self.backward else steps:
            product, out = self._product(h), _step(self.out, t)
            product.codes = self._codes
            ops += product.ops(context)
            ops.append(self._gates(context, _step(self.gates, t), h, c, out, table))
            h, c = out, self.last_c or c
        if self.last_h is not None:
            ops += Chain(self.last_h, Instruction("copy", (Operand(h),))).ops(context)
        return ops

    def _product(self, h: Place) -> Convolution:
        return Convolution(h, self._states, self.matrix, self.matrix.columns)

    def _gates(
        self, context: Context, gates: Place, h: Place, c: Place, out: Place, table: int
    ) -> Op:
        batch = out.rows
        share = context.share(batch)
        arguments = (
            batch, share, out.size, out.stride,
            gates.address, self._states.address, gates.stride,
            h.address, c.address,
            out.address, self.last_c.address if self.last_c else 0, table,
        )  # fmt: skip
        return Op(f"gates-{self.kind}", arguments, -(-batch // share))


def _step(of: Place, t: int) -> Place:
    """[N, size] of [T, N, size], once that has an address."""
    _, batch, size = of.shape
    return Place(Buffer(0, address=of.address + t * batch * of.stride), (batch, size))


def _zeros(like: Place, context: Context) -> Place:
    batch, size = like.shape[1:]
    return Place(
        Buffer(0, address=context.memory.arena.allocate(batch * like.stride)), (batch, size)
    )
