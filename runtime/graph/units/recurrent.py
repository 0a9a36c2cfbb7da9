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
    reset_first     of a GRU: whether the reset applies before the product
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
    reset_first: bool = False
    _states: Place = field(init=False)
    _reset: Place = field(init=False)  # a state that was reset, and what it gives
    _of_reset: Place = field(init=False)
    _codes: Codes | None = field(init=False)

    def __post_init__(self) -> None:
        self._states, self._of_reset = (place(self.gates.shape[1:]) for _ in range(2))
        self._reset, self._codes = place(self.last_h.shape), None
        self._codes = self._product(self.last_h, self._states).wanted_codes()

    def reads(self) -> Iterator[Place]:
        yield self.gates
        yield from (state for state in (self.h, self.c) if state is not None)

    def buffers(self) -> Iterator[Buffer]:
        yield from super().buffers()
        yield from (self._states.buffer, self.last_h.buffer)
        if self.last_c is not None:
            yield self.last_c.buffer
        if self.reset_first:
            yield from (self._reset.buffer, self._of_reset.buffer)
        if self._codes is not None:
            yield self._codes.buffer

    def scratch_bytes(self) -> int:
        return Chain(self.last_h, None).scratch_bytes()

    def ops(self, context: Context) -> list[Op]:
        h, c = (_zeros(self.last_h, context) if s is None else s for s in (self.h, self.c))
        table = 0 if self._codes is None else sink(self._codes, context.memory)
        ops = [] if self._codes is None else Chain(h, None, self._codes).ops(context)
        product = self._product(h, self._states).ops(context)
        again = self._product(self.last_h, self._states).ops(context)
        reset = self._product(self._reset, self._of_reset).ops(context)
        steps = range(self.gates.shape[0])
        for t in reversed(steps) if self.backward else steps:
            ops += product
            kind, out = self.kind, self._out(t)
            if self.reset_first:
                state = self._reset.address
                ops += [self._op(context, "gru-reset", t, h, c, state, state, table), *reset]
                kind = "gru-after"
            ops.append(self._op(context, kind, t, h, c, self.last_h.address, out, table))
            h, c, product = self.last_h, self.last_c or c, again
        return ops

    def _product(self, h: Place, out: Place) -> Convolution:
        return Convolution(h, out, self.matrix, self.matrix.columns, codes=self._codes)

    def _out(self, t: int) -> int:
        is_each = len(self.out.shape) == 3
        return self.out.address + (t * self.last_h.rows * self.out.stride if is_each else 0)

    def _op(
        self,
        context: Context,
        kind: str,
        t: int,
        h: Place,
        c: Place,
        new: int,
        out: int,
        table: int,
    ) -> Op:
        batch, size = self.last_h.shape
        share = context.share(batch)
        arguments = (
            batch, share, size, self.last_h.stride,
            self.gates.address + t * batch * self.gates.stride,
            self._states.address, self.gates.stride,
            h.address, c.address, new, self.last_c.address if self.last_c else 0, out, table,
            self._of_reset.address,
        )  # fmt: skip
        return Op(f"gates-{kind}", arguments, -(-batch // share))


def _zeros(like: Place, context: Context) -> Place:
    address = context.memory.arena.allocate(like.rows * like.stride)
    return Place(Buffer(0, address=address), like.shape)
