"""What the lowering of every kind of model does: products, activations, rows of the embedding."""

from edge.format.reader import EdgeFile

from ..kernels.layout import ACTIVATION_TOKENS, EMBEDDING_TOKENS
from ..plan import Op, float_bits
from .buffers import FLOAT, Buffers, Codes, Encoding, Floats
from .weights import Matrix, Weights

CHUNK_BYTES = 256 * 1024  # of weights: stays in a core's L2 while tokens pass
CHUNKS_A_THREAD = 2  # at least: a slow core then holds up half a share, not a whole one
ZERO, TOKENS, POSITION, FIRST_OUTPUT = range(4)  # registers


class Lowering:
    """Ops and buffers of a model, as they are lowered one after the other.

    norm_kind  how kernels call its norms
    registers  int64: 0, tokens, position, first token with logits
    ids        int64 [tokens]
    """

    norm_kind = "norm"

    def __init__(self, file: EdgeFile, threads: int, tokens: int):
        self.threads = threads
        self.epsilon: float = file.config.norm_epsilon
        self.weights = Weights(file)
        self.buffers = Buffers(tokens)
        self.ops: list[Op] = []
        self._encoded: dict[tuple[int, Encoding], Codes] = {}  # by the address of the floats
        self.registers = self.buffers.arena.array((8,), "<i8")
        self.ids = self.buffers.arena.array((tokens,), "<i8")

    def _look_up(self, w: Matrix, out: Floats, factor: float = 1.0) -> None:
        """Rows of the embedding, by `ids`."""
        form = w.form
        self._by_token(
            f"embedding-{form}",
            EMBEDDING_TOKENS,
            self._register(TOKENS), self.ids.ctypes.data,
            w.address, form.tile_bytes(w.columns),
            form.block_bytes(w.columns), form.block_columns(w.columns), w.columns,
            out.address, out.stride, float_bits(factor),
        )  # fmt: skip

    def _norm(self, x: Floats, out: Floats, norm: str, consumers: list[Matrix]) -> None:
        self._activation("plain", x, None, out, norm, consumers)

    def _activation(
        self,
        source: str,
        x: Floats,
        up: Floats | None,
        out: Floats,
        norm: str,
        consumers: list[Matrix],
    ) -> None:
        """Make `out`, and its codes in every encoding that the consumers want.

        `norm` is the stem of a norm's tensors, or empty.
        """
        wanted = list(dict.fromkeys(w.encoding for w in consumers))
        taken = [encoding.layout for encoding in wanted]
        for i, encoding in enumerate(wanted):
            if encoding != FLOAT:
                index = taken[:i].count(encoding.layout)
                codes = self.buffers.codes(out.size, encoding, index)
                self._encoded[out.address, encoding] = codes
        as_it_is = [encoding for encoding in wanted if not encoding.factor]
        first, *others = as_it_is or [FLOAT]
        if source != "plain" or norm or first != FLOAT:
            name = "-".join([source, *([self.norm_kind] if norm else []), first.sink])
            self._encode(name, x, up, out, norm, first)
        for other in others:
            if other != FLOAT:
                self._encode(f"plain-{other.sink}", out, None, out, "", other)
        for encoding in wanted:
            if encoding.factor:
                self._multiply(out, encoding)

    def _multiply(self, x: Floats, to: Encoding) -> None:
        """Codes of columns that a matrix wants multiplied by factors of its own."""
        factors = Floats(to.factor, 0, x.size)
        codes = self._encoded[x.address, to]
        self._encode(f"times-{to.sink}", x, factors, self.buffers.scaled(x.size), "", to, codes)

    def _encode(
        self,
        kernel: str,
        x: Floats,
        up: Floats | None,
        out: Floats,
        norm: str,
        to: Encoding,
        codes: Codes | None = None,
    ) -> None:
        codes = codes or self._encoded.get((out.address, to), Codes(0, 0, 0, 0, 0))
        arguments = self._norm_arguments(x, out, norm, up)
        centered = norm and self.norm_kind == "layernorm"
        bias = self.weights.vector(f"{norm}.bias", x.size) if centered else 0
        self._by_token(
            kernel, ACTIVATION_TOKENS, *arguments,
            codes.address, codes.stride, codes.scales, codes.starts, codes.groups_stride, to.zero,
            bias, float_bits(to.scale),
        )  # fmt: skip

    def _norm_arguments(
        self, x: Floats, out: Floats, norm: str, up: Floats | None = None
    ) -> tuple[int, ...]:
        """The first eleven arguments of kernels/activations.py."""
        weight = self.weights.vector(f"{norm}.weight", x.size) if norm else 0
        return (
            self._register(TOKENS), x.address, x.stride,
            up.address if up else 0, up.stride if up else 0,
            out.address, out.stride, x.width, x.size, weight, float_bits(self.epsilon),
        )  # fmt: skip

    def _products(self, x: Floats, matrices: list[Matrix], outs: list[Floats]) -> None:
        """Products of one input: a thread that finds no more rows of one goes on to the next."""
        for w, out in zip(matrices, outs, strict=True):
            self._product(x, w, out, barrier=w is matrices[-1])

    def _product(
        self,
        x: Floats,
        w: Matrix,
        out: Floats,
        residual: Floats | None = None,
        first: int = ZERO,
        barrier: bool = True,
    ) -> None:
        form = w.form
        tiles, tile_bytes = form.tiles(w.rows), form.tile_bytes(w.columns)
        share = -(-tiles // (CHUNKS_A_THREAD * self.threads))
        per_chunk = max(1, min(CHUNK_BYTES // tile_bytes, share))
        if w.encoding == FLOAT:
            source = (x.address, x.stride, 0, 0, 0)
        else:
            c = self._encoded[x.address, w.encoding]
            source = (c.address, c.stride, c.scales, c.starts, c.groups_stride)
        arguments = (
            self._register(first), self._register(TOKENS), tiles, per_chunk,
            w.address, tile_bytes, w.steps, *source,
            out.address, out.stride, w.bias, residual.address if residual else 0,
        )  # fmt: skip
        weights = w.address, tiles * tile_bytes
        chunks = -(-tiles // per_chunk)
        self.ops.append(Op(f"matmul-{form}", arguments, chunks, barrier=barrier, weights=weights))

    def _by_token(self, kernel: str, tokens: int, *arguments: int, chunks: int = 1) -> None:
        self.ops.append(Op(kernel, arguments, chunks, tokens))

    def _register(self, index: int) -> int:
        return int(self.registers.ctypes.data) + 8 * index
