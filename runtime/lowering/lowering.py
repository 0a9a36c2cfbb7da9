"""What the lowering of every kind of model does: products, activations, rows of the embedding."""

from edge.format.formats import TILE_ROWS
from edge.format.reader import EdgeFile

from ..kernels.layout import ACTIVATION_TOKENS, EMBEDDING_TOKENS
from ..plan import Op, float_bits
from .buffers import FLOAT, Buffers, Codes, Encoding, Floats, orders, round_up
from .weights import Matrix, Sparse, Weights

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
        self.buffers = Buffers(tokens)
        self.weights = Weights(file, self.buffers.arena)
        self.ops: list[Op] = []
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
        wanted = list(dict.fromkeys(w.encoding for w in consumers)) or [FLOAT]
        self.buffers.place(wanted)
        first = FLOAT if wanted[0].is_of_other_floats else wanted[0]
        if source != "plain" or norm or first != FLOAT:
            name = "-".join([source, *([self.norm_kind] if norm else []), first.sink])
            self._encode(name, x, up, out, norm, first)
        for order in orders(wanted):
            self._take_columns(out, order)
        for other in wanted:
            if other not in (first, FLOAT):
                rest = self._ordered(out, other)
                rest = self._multiplied(rest, other) if other.factor else rest
                rest = self._taken_out(rest, other) if other.taken else rest
                if other.sink != FLOAT.sink:
                    self._encode(f"plain-{other.sink}", rest, None, rest, "", other)

    def _take_columns(self, x: Floats, order: int) -> None:
        """x in another order, for all that want that one."""
        out = self.buffers.ordered(order, x.size)
        self._by_token(
            "take-columns", ACTIVATION_TOKENS,
            self._register(TOKENS), x.address, x.stride, out.address, out.stride, x.width,
            order, x.size,
        )  # fmt: skip

    def _ordered(self, x: Floats, to: Encoding) -> Floats:
        """x in the order of the encoding."""
        return self.buffers.ordered(to.order, x.size) if to.order else x

    def _multiplied(self, x: Floats, by: Encoding) -> Floats:
        """x times the factors of the encoding."""
        factors, product = Floats(by.factor, 0, x.size), self.buffers.multiplied(by, x.size)
        self._encode("times-float", x, factors, product, "", FLOAT)
        return product

    def _taken_out(self, x: Floats, to: Encoding) -> Floats:
        """x without the columns that the encoding does without; these are kept beside."""
        assert to.taken is not None
        rest, taken = self.buffers.spare("rest", x.size), self.buffers.taken(to)
        self._by_token(
            "take-out", ACTIVATION_TOKENS,
            self._register(TOKENS), x.address, x.stride, rest.address, rest.stride, x.width,
            to.taken.address, to.taken.count, taken.address, taken.stride,
        )  # fmt: skip
        return rest

    def _encode(
        self, kernel: str, x: Floats, up: Floats | None, out: Floats, norm: str, to: Encoding
    ) -> None:
        codes = Codes(0, 0, 0, 0, 0) if to == FLOAT else self.buffers.codes(x.size, to)
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
            self._matmul(x, w, out, barrier=w is matrices[-1])
        for w, out in zip(matrices, outs, strict=True):
            self._add(x, w, out)

    def _product(
        self,
        x: Floats,
        w: Matrix,
        out: Floats,
        residual: Floats | None = None,
        first: int = ZERO,
    ) -> None:
        self._matmul(x, w, out, residual, first)
        self._add(x, w, out, first)

    def _add(self, x: Floats, w: Matrix, out: Floats, first: int = ZERO) -> None:
        """What rides beside the matrix, added to its product (edge/format/addends.py)."""
        if w.outliers is not None:
            self._matmul(self.buffers.taken(w.encoding), w.outliers.weight, out, out, first)
        x = self._ordered(x, w.encoding)
        if w.encoding.factor:
            x = self.buffers.multiplied(w.encoding, x.size)
        if w.low_rank is not None:
            inner = self.buffers.spare("inner", w.low_rank.right.rows)
            self._matmul(x, w.low_rank.right, inner)
            self._matmul(inner, w.low_rank.left, out, out, first)
        if w.sparse is not None:
            self._add_sparse(x, w, w.sparse, out, first)

    def _add_sparse(self, x: Floats, w: Matrix, sparse: Sparse, out: Floats, first: int) -> None:
        rows = TILE_ROWS * w.form.tiles(w.rows)
        share = round_up(-(-rows // (CHUNKS_A_THREAD * self.threads)), TILE_ROWS)
        arguments = (
            self._register(first), self._register(TOKENS), rows, share,
            sparse.rows, sparse.entries, x.address, x.stride, out.address, out.stride,
        )  # fmt: skip
        self.ops.append(Op("sparse-add", arguments, -(-rows // share)))

    def _matmul(
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
        arguments = (
            self._register(first), self._register(TOKENS), tiles, per_chunk,
            w.address, tile_bytes, w.steps, *self._read(x, w),
            out.address, out.stride, w.bias, residual.address if residual else 0,
        )  # fmt: skip
        weights = w.address, tiles * tile_bytes
        chunks = -(-tiles // per_chunk)
        self.ops.append(Op(w.kernel, arguments, chunks, barrier=barrier, weights=weights))

    def _read(self, x: Floats, w: Matrix) -> tuple[int, ...]:
        """A product's arguments about its input, which `_activation` has made."""
        encoding = w.encoding
        if encoding.sink != FLOAT.sink:
            c = self.buffers.codes(x.size, encoding)
            return c.address, c.stride, c.scales, c.starts, c.groups_stride
        x = self._ordered(x, encoding)
        x = self.buffers.multiplied(encoding, x.size) if encoding.factor else x
        return x.address, x.stride, *w.scales_layout

    def _by_token(self, kernel: str, tokens: int, *arguments: int, chunks: int = 1) -> None:
        self.ops.append(Op(kernel, arguments, chunks, tokens))

    def _register(self, index: int) -> int:
        return int(self.registers.ctypes.data) + 8 * index
