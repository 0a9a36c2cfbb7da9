"""LSTM and GRU layers as ops: a product and a gates' kernel (kernels/gates.py) for every step."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...lowering.weights import Matrix
from ...plan import Op
from ..storage import Buffer, Place, place
from .chain import Chain
from .convolution import Convolution
from .unit import Codes, Context, Unit, sink


@dataclass(eq=False)
class Recurrent(Unit):
    """Of what the input gives to each gate, at every step.

    kind            "lstm" or "gru"
    gates           [T, N, gates x H]
    matrix          [gates x H, H]: what the state gives
    h, c            [N, H] before the first step; None: zeros, of an LSTM only
    out             [T, N, H], or [N, H] where nobody wants but the last
    last_h, last_c  [N, H]: where the state is kept; last_c of an LSTM only
    backward        whether the last step comes first
    """

    kind: str
    gates: Place
    matrix: Matrix
    h: Place | None
    c: Place | None
    out: Place
    last_h: Place
    last_c: Place | None
    backward: bool
    _states: Place = field(init=False)
    _codes: Codes | None = field(init=False)

    def __post_init__(self) -> None:
        self._states, self._codes = place(self.gates.shape[1:]), None
        self._codes = self._product(self.last_h).wanted_codes()

    def reads(self) -> Iterator[Place]:
        yield self.gates
        yield from (state for state in (self.h, self.c) if state is not None)

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        yield from (self._states.buffer, self.last_h.buffer)
        if self.last_c is not None:
            yield self.last_c.buffer
        if self._codes is not None:
            yield self._codes.buffer

    def scratch_bytes(self) -> int:
        return Chain(self.last_h, None).scratch_bytes()

    def ops(self, context: Context) -> list[Op]:
        h, c = (_zeros(self.last_h, context) if s is None else s for s in (self.h, self.c))
        table = 0 if self._codes is None else sink(self._codes, context.memory)
        ops = [] if self._codes is None else Chain(h, None, self._codes).ops(context)
        product = self._product(h).ops(context)
        again = self._product(self.last_h).ops(context)
        steps = range(self.gates.shape[0])
        for t in reversed(steps) if self.backward else steps:
            ops += [*product, self._gates(context, t, h, c, table)]
            h, c, product = self.last_h, self.last_c or c, again
        return ops

    def _product(self, h: Place) -> Convolution:
        return Convolution(h, self._states, self.matrix, self.matrix.columns, codes=self._codes)

    def _gates(self, context: Context, t: int, h: Place, c: Place, table: int) -> Op:
        batch, size = self.last_h.shape
        share = context.share(batch)
        at = t * batch
        arguments = (
            batch, share, size, self.last_h.stride,
            self.gates.address + at * self.gates.stride, self._states.address, self.gates.stride,
            h.address, c.address, self.last_h.address, self.last_c.address if self.last_c else 0,
            self.out.address + (at * self.out.stride if len(self.out.shape) == 3 else 0), table,
        )  # fmt: skip
        return Op(f"gates-{self.kind}", arguments, -(-batch // share))


def _zeros(like: Place, context: Context) -> Place:
    address = context.memory.arena.allocate(like.rows * like.stride)
    return Place(Buffer(0, address=address), like.shape)
