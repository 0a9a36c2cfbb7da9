"""A sentence encoder as a plan: tokens of several texts, packed one after the other.

Products and norms see one list of tokens; positions and attention know where texts begin.
"""

from dataclasses import dataclass

import numpy as np

from edge.format.encoder_config import EncoderConfig
from edge.format.reader import EdgeFile

from ..kernels.layout import EMBEDDING_TOKENS, SPARE_BYTES
from ..libraries.library import Library
from ..plan import Arena, Op, Plan, float_bits
from .buffers import Floats, round_up
from .lowering import TOKENS, Lowering
from .weights import Matrix

ROWS = 8  # tokens that attention works on together


@dataclass
class Program:
    """A lowered encoder: fill `ids`, `positions`, `starts`, `registers`, run `plan`, read `hidden`."""

    plan: Plan
    arena: Arena
    ids: np.ndarray  # int64 [tokens]
    positions: np.ndarray  # int64 [tokens], from 0 in each text
    starts: np.ndarray  # int64 [tokens + 1]: where texts begin, then where the last one ends
    registers: np.ndarray  # int64: 0, tokens
    hidden: np.ndarray  # float32 [tokens, hidden]: the last layer's


def lower(file: EdgeFile, library: Library, threads: int, tokens: int) -> Program:
    """A program for steps of up to `tokens` tokens of any number of texts."""
    return EncoderLowering(file, threads, tokens).program(library)


def scratch_bytes(config: EncoderConfig) -> int:
    """Memory of its own that a thread needs: a text's keys of one head, and scores."""
    keys = 4 * round_up(config.context, 16) * config.head_dim
    return keys + ROWS * row_bytes(config) + SPARE_BYTES


def row_bytes(config: EncoderConfig) -> int:
    """Scores of one token, float32, with room for a last block."""
    return 4 * round_up(config.context + 16, 16)


class EncoderLowering(Lowering):
    """Ops and buffers of an encoder, as they are lowered one after the other."""

    norm_kind = "layernorm"

    def __init__(self, file: EdgeFile, threads: int, tokens: int):
        super().__init__(file, threads, tokens)
        self.c: EncoderConfig = file.config
        c, array, floats = self.c, self.buffers.arena.array, self.buffers.floats
        self.positions, self.starts = array((tokens,), "<i8"), array((tokens + 1,), "<i8")
        self.hidden = array((tokens, round_up(c.hidden, 64)), "<f4")
        at, stride = int(self.hidden.ctypes.data), self.hidden.strides[0]
        self.x = Floats(at, stride, c.hidden)  # normalized: what layers read
        self.h = floats(c.hidden)  # the sum of x and a branch, before its norm
        width = c.heads * c.head_dim
        self.q, self.k, self.v, self.attended = (floats(width) for _ in range(4))
        self.up = floats(c.feed_forward)

    def program(self, library: Library) -> Program:
        self.embed()
        for i in range(self.c.layers):
            self.layer(i)
        return Program(
            plan=Plan(self.ops, library),
            arena=self.buffers.arena,
            ids=self.ids,
            positions=self.positions,
            starts=self.starts,
            registers=self.registers,
            hidden=self.hidden[:, : self.c.hidden],
        )

    def embed(self) -> None:
        """Words and their places, normalized."""
        c, w = self.c, self.weights.matrix("embedding", self.c.vocabulary, self.c.hidden)
        self._look_up(w, self.h)
        table = self.weights.vector("positions", c.context * c.position_width)
        self._by_token(
            "positions", EMBEDDING_TOKENS,
            self._register(TOKENS), int(self.positions.ctypes.data), table, c.position_width,
            self.h.address, self.h.stride,
        )  # fmt: skip
        self._norm(self.h, self.x, "embedding_norm", self._readers(0))

    def begin(self, tokens: int, texts: int) -> None:
        """Registers of a step of texts that are equally long."""
        self.registers[TOKENS] = tokens
        self.starts[: texts + 1] = np.arange(texts + 1) * (tokens // texts)

    def layer(self, i: int) -> None:
        self._attention(i)
        self._feed_forward(i)

    def _readers(self, i: int) -> list[Matrix]:
        """What reads the input of a layer; nothing behind the last one."""
        c, stem = self.c, f"layers.{i}.attention"
        names = ("query", "key", "value") if i < c.layers else ()
        return [
            self.weights.matrix(f"{stem}.{name}", c.heads * c.head_dim, c.hidden) for name in names
        ]

    def _attention(self, i: int) -> None:
        c, stem = self.c, f"layers.{i}.attention"
        self._products(self.x, self._readers(i), [self.q, self.k, self.v])
        self._attend()
        w = self.weights.matrix(f"{stem}.output", c.hidden, c.heads * c.head_dim)
        self._activation("plain", self.attended, None, self.attended, "", [w])
        self._product(self.attended, w, self.h, residual=self.x)
        self._norm(self.h, self.x, f"{stem}_norm", [self._up(i)])

    def _feed_forward(self, i: int) -> None:
        c, stem = self.c, f"layers.{i}.feed_forward"
        self._product(self.x, self._up(i), self.up)
        w = self.weights.matrix(f"{stem}.down", c.hidden, c.feed_forward)
        self._activation(c.activation, self.up, None, self.up, "", [w])
        self._product(self.up, w, self.h, residual=self.x)
        self._norm(self.h, self.x, f"{stem}_norm", self._readers(i + 1))

    def _up(self, i: int) -> Matrix:
        c = self.c
        return self.weights.matrix(f"layers.{i}.feed_forward.up", c.feed_forward, c.hidden)

    def _attend(self) -> None:
        """A head of a text a chunk: the step's outputs are its texts."""
        c = self.c
        arguments = (
            int(self.starts.ctypes.data),
            self.q.address, self.k.address, self.v.address, self.q.stride,
            self.attended.address, self.attended.stride,
            c.heads, c.head_dim, float_bits(c.attention_scale), row_bytes(c),
        )  # fmt: skip
        self.ops.append(Op("bidirectional", arguments, c.heads, 1, counts_outputs=True))
