"""A decoder as a plan: Llama's skeleton with the variations that DecoderConfig names."""

from dataclasses import dataclass, replace

import numpy as np

from edge.format.config import DecoderConfig, Rope
from edge.format.reader import EdgeFile

from ..kernels.catalogue import ATTENTION_HEADS
from ..kernels.layout import (
    ACTIVATION_TOKENS,
    ATTENTION_TOKENS,
    ROPE_TOKENS,
    SPARE_BYTES,
)
from ..kv_cache import KvCache
from ..libraries.library import Library
from ..plan import Op, Plan, float_bits
from ..rope import RopeTable
from .buffers import Buffers, Floats, round_up
from .lowering import FIRST_OUTPUT, POSITION, TOKENS, Lowering
from .weights import Matrix

SOFTCAP_CHUNKS = 64


@dataclass
class Program:
    """A lowered decoder: fill `ids`, `registers` and `ropes`, run `plan`, read `logits`."""

    plan: Plan
    buffers: Buffers
    ids: np.ndarray  # int64 [tokens]
    registers: np.ndarray  # int64: 0, tokens, position, first token with logits
    ropes: list[RopeTable]
    logits: np.ndarray  # float32 [outputs, vocabulary]


def lower(
    file: EdgeFile, cache: KvCache, library: Library, threads: int, tokens: int, outputs: int
) -> Program:
    """A program for steps of up to `tokens` tokens, `outputs` of them with logits."""
    return DecoderLowering(file, cache, threads, tokens, outputs).program(library)


def scratch_bytes(context: int) -> int:
    """Memory of its own that a thread needs: attention scores, twice, and sums."""
    return 2 * ATTENTION_TOKENS * _row_bytes(context) + SPARE_BYTES


def _row_bytes(context: int) -> int:
    """Scores of one token, float32, with room for a last block."""
    return 4 * round_up(context + 16, 16)


class DecoderLowering(Lowering):
    """Ops and buffers of a decoder, as they are lowered one after the other."""

    def __init__(self, file: EdgeFile, cache: KvCache, threads: int, tokens: int, outputs: int):
        super().__init__(file, threads, tokens)
        self.c: DecoderConfig = file.config
        self.cache = cache
        array = self.buffers.arena.array
        self.ropes = [self._rope_table(rope) for rope in self.c.ropes]
        floats = self.buffers.floats
        c = self.c
        self.x = floats(c.hidden)  # the residual stream
        self.h = floats(c.hidden)  # normalized, or a branch's output before its own norm
        self.q = floats(c.heads * c.head_dim)
        self.k = floats(c.kv_heads * c.head_dim)
        self.v = floats(c.kv_heads * c.head_dim)
        self.attended = floats(c.heads * c.head_dim)
        self.gate, self.up = floats(c.feed_forward), floats(c.feed_forward)
        self.logit_rows = array((outputs, round_up(c.vocabulary, 64)), "<f4")
        at, stride = self.logit_rows.ctypes.data, self.logit_rows.strides[0]
        self.logits = Floats(int(at), stride, c.vocabulary)
        self.row_bytes = _row_bytes(cache.shape.context)

    def program(self, library: Library) -> Program:
        self._embedding()
        for i in range(self.c.layers):
            self.layer(i)
        self._output()
        return Program(
            plan=Plan(self.ops, library),
            buffers=self.buffers,
            ids=self.ids,
            registers=self.registers,
            ropes=self.ropes,
            logits=self.logit_rows[:, : self.c.vocabulary],
        )

    def begin(self, tokens: int, texts: int) -> None:
        """Registers and angles of a step from position 0, of one text."""
        assert texts == 1
        self.registers[TOKENS], self.registers[POSITION] = tokens, 0
        for table in self.ropes:
            table.fill(0, tokens)

    def layer(self, i: int) -> None:
        self._attention(i)
        self._feed_forward(i)

    # --- stages -------------------------------------------------------------------------------

    def _embedding(self) -> None:
        c = self.c
        w = self.weights.matrix("embedding", c.vocabulary, c.hidden)
        self._look_up(w, self.x, c.embedding_scale)

    def _attention(self, i: int) -> None:
        c, layer = self.c, f"layers.{i}."
        q_size, kv_size = c.heads * c.head_dim, c.kv_heads * c.head_dim
        names = ("query", q_size), ("key", kv_size), ("value", kv_size)
        matrices = [
            self.weights.matrix(f"{layer}attention.{n}", rows, c.hidden) for n, rows in names
        ]
        self._norm(self.x, self.h, f"{layer}attention_norm", matrices)
        self._products(self.h, matrices, [self.q, self.k, self.v])
        self._rope(i)
        self._attend(i)
        w = self.weights.matrix(f"{layer}attention.output", c.hidden, q_size)
        if c.sub_norms:
            self._norm(self.attended, self.attended, f"{layer}attention.sub_norm", [w])
        else:
            self._activation("plain", self.attended, None, self.attended, "", [w])
        self._branch(self.attended, w, f"{layer}attention_post_norm")

    def _feed_forward(self, i: int) -> None:
        c, layer = self.c, f"layers.{i}."
        matrices = [
            self.weights.matrix(f"{layer}feed_forward.{n}", c.feed_forward, c.hidden)
            for n in ("gate", "up")
        ]
        self._norm(self.x, self.h, f"{layer}feed_forward_norm", matrices)
        self._products(self.h, matrices, [self.gate, self.up])
        w = self.weights.matrix(f"{layer}feed_forward.down", c.hidden, c.feed_forward)
        norm = f"{layer}feed_forward.sub_norm" if c.sub_norms else ""
        self._activation(c.activation, self.gate, self.up, self.gate, norm, [w])
        self._branch(self.gate, w, f"{layer}feed_forward_post_norm")

    def _branch(self, source: Floats, w: Matrix, post_norm: str) -> None:
        """Add a branch's output to the residual stream, after its own norm if it has one."""
        if not self.c.post_norms:
            self._product(source, w, self.x, residual=self.x)
            return
        self._product(source, w, self.h)
        self._by_token(
            "norm-add", ACTIVATION_TOKENS, *self._norm_arguments(self.h, self.x, post_norm)
        )

    def _output(self) -> None:
        c = self.c
        name = "embedding" if c.tied_embedding else "output"
        w = self.weights.matrix(name, c.vocabulary, c.hidden)
        if c.tied_embedding:
            w = replace(w, bias=0)
        self._norm(self.x, self.h, "output_norm", [w])
        self._product(self.h, w, self.logits, first=FIRST_OUTPUT)
        if c.logits_softcap:
            logits = self.logits
            arguments = [0] * 11
            arguments[1:3] = logits.address, logits.stride
            arguments[7] = logits.width
            arguments[10] = float_bits(c.logits_softcap)
            self.ops.append(Op("softcap", tuple(arguments), SOFTCAP_CHUNKS, 1, True))

    def _rope(self, i: int) -> None:
        c, shape, table = self.c, self.cache.shape, self.ropes[self.c.layer_rope[i]]
        norms = (0, 0)
        if c.qk_norm:
            names = (f"layers.{i}.attention.{n}_norm.weight" for n in ("query", "key"))
            norms = tuple(self.weights.vector(name, c.head_dim) for name in names)  # type: ignore
        self._by_token(
            f"rope-{shape.kind}", ROPE_TOKENS,
            self._register(TOKENS), self._register(POSITION),
            self.q.address, self.q.stride, c.heads,
            self.k.address, self.v.address, self.k.stride, c.kv_heads,
            c.head_dim, c.ropes[c.layer_rope[i]].dims,
            table.cos.ctypes.data, table.sin.ctypes.data, table.cos.strides[0],
            *norms, float_bits(c.norm_epsilon),
            self.cache.layer(i), shape.head_bytes, shape.block_bytes,
        )  # fmt: skip

    def _attend(self, i: int) -> None:
        c, shape = self.c, self.cache.shape
        heads = self._heads_a_chunk()
        self._by_token(
            f"attention-{shape.kind}-h{heads}", ATTENTION_TOKENS,
            self._register(TOKENS), self._register(POSITION),
            self.q.address, self.q.stride, self.attended.address, self.attended.stride,
            c.heads // heads, c.heads // c.kv_heads // heads, c.head_dim,
            float_bits(c.attention_scale), float_bits(c.attention_softcap), c.layer_window[i],
            self.cache.layer(i), shape.head_bytes, shape.block_bytes, self.row_bytes,
            chunks=c.heads // heads,
        )  # fmt: skip

    def _heads_a_chunk(self) -> int:
        """As many heads as share keys, if enough chunks for all threads remain."""
        group = self.c.heads // self.c.kv_heads
        fitting = [
            n for n in ATTENTION_HEADS if group % n == 0 and self.c.heads >= n * self.threads
        ]
        return max(fitting, default=1)

    def _rope_table(self, rope: Rope) -> RopeTable:
        array = self.buffers.arena.array
        shape = self.cache.shape.context, round_up(rope.dims // 2, 16)
        return RopeTable(rope, array(shape, "<f4"), array(shape, "<f4"))
