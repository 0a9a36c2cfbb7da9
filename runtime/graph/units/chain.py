"""Elementwise operations that follow one another, as one op (kernels/elementwise.py)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...kernels import instructions as kernel
from ...plan import Op
from ..storage import Buffer, Memory, Place
from .terms import Term, flat, terms
from .unit import Codes, Context, Unit, sink

WIDEST = 4096  # elements of a row that rows are joined into
TOGETHER = 1024  # the same, where they are padded or become codes


@dataclass(eq=False)
class Operand:
    """What an instruction reads: a value of the graph, or a constant."""

    place: Place | None
    constant: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.place.shape if self.place is not None else self.constant.shape  # type: ignore[union-attr]

    @property
    def is_number(self) -> bool:
        return self.constant is not None and self.constant.size == 1

    def placed(self, memory: Memory) -> Place:
        """A constant as kernels want it: a copy with padded rows where it is not like that."""
        if self.place is not None:
            return self.place
        constant = np.asarray(self.constant, np.float32)
        shape = constant.shape or (1,)
        return Place(Buffer(0, address=memory.floats(constant.reshape(shape))), shape)


@dataclass(eq=False)
class Instruction:
    """One operation of kernels/elementwise.py; the operands it lacks are its first again."""

    op: str
    inputs: "tuple[Operand | Instruction, ...]"


@dataclass(eq=False)
class Chain(Unit):
    """out = the instruction `root`, which reads others, or only codes of x where it is None."""

    out: Place
    root: Instruction | None
    sink: Codes | None = None
    stores: bool = True

    def walk(self) -> Iterator[Instruction]:
        """Instructions, each after those that it reads."""
        seen: set[int] = set()

        def below(instruction: Instruction) -> Iterator[Instruction]:
            if id(instruction) in seen:
                return
            seen.add(id(instruction))
            for one in instruction.inputs:
                if isinstance(one, Instruction):
                    yield from below(one)
            yield instruction

        if self.root is not None:
            yield from below(self.root)

    def operands(self) -> list[Operand]:
        found: dict[int, Operand] = {}
        for instruction in self.walk():
            for one in instruction.inputs:
                if isinstance(one, Operand):
                    found[id(one)] = one
        return list(found.values())

    def reads(self) -> Iterator[Place]:
        for operand in self.operands():
            if operand.place is not None:
                yield operand.place
        if self.root is None:
            yield self.out

    def buffers(self) -> Iterator[Buffer]:
        yield from (place.buffer for place in self.reads())
        if self.stores:
            yield self.out.buffer
        if self.sink is not None:
            yield self.sink.buffer

    def scratch_bytes(self) -> int:
        return kernel.ROW_AT + (0 if self.stores else self._pixels() * self.out.stride)

    @property
    def fits(self) -> bool:
        """Whether the kernel has room for it."""
        operands = self.operands()
        if len(operands) + 1 + kernel.REGISTERS > kernel.SLOTS:
            return False
        if any(len(_terms(o.shape, self.out)) > kernel.MOST_TERMS for o in operands):
            return False
        return self._program(operands) is not None

    def ops(self, context: Context) -> list[Op]:
        operands = self.operands()
        program = self._program(operands)
        assert program is not None
        rows, width, size = self.out.rows, self.out.width, self.out.size
        places = [operand.placed(context.memory) for operand in operands]
        found = [_terms(place.shape, self.out) for place in places]
        pixels = 1
        if self._is_flat(places):
            if self.sink is None and width == size:
                rows, width = _joined(rows * width)
                size = width
            else:
                pixels = self._pixels()
                rows, width = rows // pixels, width * pixels
            found = [[] if place.size == 1 else [(1, 0, 4 * width)] for place in places]
        share = context.share(rows)
        words = [w for pair in zip(places, found, strict=True) for w in _operand(*pair)]
        arguments = (
            rows, share, width, pixels, size, context.memory.words(words), len(operands),
            context.memory.words([w for i in program for w in i]), len(program),
            self.out.address if self.stores else 0, 4 * width,
            sink(self.sink, context.memory),
        )  # fmt: skip
        return [Op("elementwise", arguments, -(-rows // share))]

    def _is_flat(self, places: list[Place]) -> bool:
        """Whether rows may be joined: every operand is a number or has the output's shape."""
        return self.out.size > 1 and all(
            p.size == p.rows == 1 or _trimmed(p.shape) == _trimmed(self.out.shape) for p in places
        )

    def _pixels(self) -> int:
        """Rows that are joined into one of at most TOGETHER elements, padding included."""
        rows = self.out.rows
        most = max(1, min(rows, TOGETHER // self.out.width))
        return next(n for n in range(most, 0, -1) if rows % n == 0)

    def _program(self, operands: list[Operand]) -> list[list[int]] | None:
        """Instructions over slots; None if they need more registers than there are."""
        slots = {id(operand): i for i, operand in enumerate(operands)}
        out, order = len(operands), list(self.walk())
        free = list(range(out + 1, out + 1 + kernel.REGISTERS))
        last = {id(one): i for i, done in enumerate(order) for one in done.inputs}
        program = []
        for i, instruction in enumerate(order):
            read = [slots[id(one)] for one in instruction.inputs]
            # A register may be written by the instruction that reads it last.
            for one in {
                id(o): o for o in instruction.inputs if isinstance(o, Instruction)
            }.values():
                if last[id(one)] == i:
                    free.append(slots[id(one)])
            if i == len(order) - 1:
                slots[id(instruction)] = out
            elif not free:
                return None
            else:
                slots[id(instruction)] = free.pop()
            read += [read[0]] * (3 - len(read))
            program.append([kernel.OPCODES[instruction.op], slots[id(instruction)], *read])
        return program


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _terms(shape: tuple[int, ...], out: Place) -> list[Term]:
    """Where a row of the output finds its row of an operand that is broadcast to it."""
    shape = shape or (1,)
    outer = out.shape[:-1]
    missing = len(outer) - (len(shape) - 1)
    steps = [0] * missing + [
        0 if size == 1 else step
        for size, step in zip(shape[:-1], Place(Buffer(0), shape).steps()[:-1], strict=True)
    ]
    return terms(outer, tuple(steps))


def _operand(place: Place, found: list[Term]) -> list[int]:
    words = [place.address, int(place.size == 1), len(found), *flat(found)]
    return words + [0] * (kernel.OPERAND_WORDS - len(words))


def _joined(elements: int) -> tuple[int, int]:
    """Rows of at most WIDEST elements, a multiple of 16, that make up so many elements."""
    blocks = elements // 16
    rows = -(-elements // WIDEST)
    while blocks % rows:
        rows += 1
    return rows, elements // rows
