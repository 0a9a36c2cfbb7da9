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
class Encoding:
    """How a product wants its activations: a sink of kernels/activations.py and a zero point.

    scale   of the codes: fixed and positive; BY_TOKEN; 0: as the sink has it
    factor  address of what the columns are multiplied by before, or 0
    """

    sink: str
    zero: int
    scale: float = 0.0
    factor: int = 0

    @property
    def layout(self) -> "Encoding":
        """The same for all whose codes fit into one buffer."""
        return Encoding(self.sink, self.zero)


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
    if form.offset:
        return Encoding("moment", 0)
    if form.has_codebook:  # levels are 8-bit codes to a product
        return Encoding("group", CODES["int8"].zero)
    if form.kind == "ternary" and form.group:
        return Encoding("row256", form.zero)
    if form.multiplier_columns:
        return Encoding("group16", form.zero)
    return Encoding("group" if form.group else "row", form.zero)


class Buffers:
    """Allocates what a plan needs, once; buffers of codes are shared by ops of equal width."""

    def __init__(self, tokens: int):
        self.arena = Arena()
        self.tokens = tokens
        self._codes: dict[tuple[int, Encoding, int], Codes] = {}
        self._scaled: dict[int, Floats] = {}

    def floats(self, size: int) -> Floats:
        stride = 4 * round_up(size, 64)
        return Floats(self.arena.allocate(self.tokens * stride), stride, size)

    def scaled(self, size: int) -> Floats:
        """Where columns lie that were multiplied on the way to their codes."""
        if size not in self._scaled:
            self._scaled[size] = self.floats(size)
        return self._scaled[size]

    def codes(self, size: int, wanted: Encoding, index: int) -> Codes:
        """`index` tells codes of one layout apart that products want at the same time."""
        key = size, wanted.layout, index
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


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
