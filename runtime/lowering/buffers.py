"""Buffers between ops: float32 vectors, and the codes that integer products want."""

from dataclasses import dataclass

from edge.format.formats import CODES, WeightFormat

from ..plan import Arena


@dataclass(frozen=True)
class Floats:
    """float32 [tokens, width]; rows `stride` bytes apart, padded with zeros to 64 elements."""

    address: int
    stride: int
    size: int  # elements without padding

    @property
    def width(self) -> int:
        """Elements that kernels go over: a multiple of 16."""
        return round_up(self.size, 16)


@dataclass(frozen=True)
class Taken:
    """Columns that are taken out of activations before these are rounded: int32 [count]."""

    address: int
    count: int


@dataclass(frozen=True)
class Encoding:
    """How a product wants its activations: a sink of kernels/activations.py and a zero point.

    taken   columns that are left out, or None
    scale   of the codes: fixed and positive; BY_TOKEN; 0: as the sink has it
    order   address of the order that columns are brought into first, int32, or 0
    factor  address of what they are multiplied by then, or 0
    """

    sink: str
    zero: int
    taken: Taken | None = None
    scale: float = 0.0
    order: int = 0
    factor: int = 0

    @property
    def is_plain(self) -> bool:
        return self == Encoding(self.sink, self.zero)

    @property
    def is_of_other_floats(self) -> bool:
        """Whether the codes are of something else than the floats that were made."""
        return self.taken is not None or self.order != 0 or self.factor != 0


@dataclass(frozen=True)
class Codes:
    """int8 [tokens, columns] with scales and starts, rows `stride` and `groups_stride` apart."""

    address: int
    stride: int
    scales: int
    starts: int
    groups_stride: int


FLOAT = Encoding("float", 0)
BY_TOKEN = -1.0


def encoding(form: WeightFormat) -> Encoding:
    """What a product with weights of this format wants."""
    if form.is_float:
        return FLOAT
    if form.multiplier_columns == 16:
        return Encoding("group16", form.zero)
    if form.offset:
        return Encoding("moment", 0)
    if form.has_codebook:  # levels are 8-bit codes to a product
        return Encoding("group", CODES["int8"].zero)
    if form.kind == "ternary" and form.group:
        return Encoding("row256", form.zero)
    return Encoding("group" if form.group else "row", form.zero)


class Buffers:
    """Allocates what a plan needs, once; buffers of codes are shared by ops of equal width."""

    def __init__(self, tokens: int):
        self.arena = Arena()
        self.tokens = tokens
        self._codes: dict[tuple[int, str, int, int], Codes] = {}
        self._places: dict[Encoding, int] = {}
        self._orders: dict[int, int] = {}
        self._spare: dict[tuple[str, int], Floats] = {}

    def floats(self, size: int) -> Floats:
        stride = 4 * round_up(size, 64)
        return Floats(self.arena.allocate(self.tokens * stride), stride, size)

    def spare(self, purpose: str, size: int) -> Floats:
        """Floats that are used at once, and shared by uses of a purpose of one size: the padding
        behind a shorter one would not be zeros."""
        key = purpose, size
        if key not in self._spare:
            self._spare[key] = self.floats(size)
        return self._spare[key]

    def taken(self, wanted: Encoding) -> Floats:
        """For the columns that are taken out for an encoding."""
        assert wanted.taken is not None
        return self.spare(f"taken-{self._places[wanted]}", wanted.taken.count)

    def ordered(self, order: int, size: int) -> Floats:
        """For the columns of one activation in this order."""
        return self.spare(f"ordered-{self._orders[order]}", size)

    def multiplied(self, wanted: Encoding, size: int) -> Floats:
        """For the columns that an encoding multiplies by its factors."""
        return self.spare(f"multiplied-{self._places[wanted]}", size)

    def place(self, wanted: list[Encoding]) -> None:
        """Say which encodings one activation has: their buffers differ, others' are reused."""
        apart = [encoding for encoding in wanted if not encoding.is_plain]
        self._orders |= {order: i for i, order in enumerate(orders(wanted))}
        self._places |= {encoding: i for i, encoding in enumerate(apart, 1)}

    def codes(self, size: int, wanted: Encoding) -> Codes:
        key = size, wanted.sink, wanted.zero, self._places.get(wanted, 0)
        if key not in self._codes:
            # Wide enough for every format's padding; what lies beyond `size` stays zero.
            stride = round_up(max(round_up(size, m) for m in (64, 96, 128, 256)), 64)
            groups_stride = round_up(stride // 16 * 4, 64)  # the most starts a sink writes
            allocate = self.arena.allocate
            self._codes[key] = Codes(
                allocate(self.tokens * stride),
                stride,
                allocate(self.tokens * groups_stride),
                allocate(self.tokens * groups_stride),
                groups_stride,
            )
        return self._codes[key]


def orders(wanted: list[Encoding]) -> list[int]:
    """Each once."""
    return list(dict.fromkeys(encoding.order for encoding in wanted if encoding.order))


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
