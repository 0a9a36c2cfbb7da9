"""Does every kernel of this machine compute what NumPy does?  One small shape each.

Activations are rounded by the kernels themselves, and the products are compared with the
reference on the rounded ones, so that only the order of float32 additions differs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edge.format import tiles
from edge.format.formats import CODES, QuantizedTensor, WeightFormat
from edge.format.spec import weight_format

from .kernels import catalogue
from .kernels.library import Library
from .kv_cache import block_bytes
from .lowering.buffers import FLOAT
from .lowering.decoder import Matrix
from .plan import Arena, Op, Plan, float_bits
from .team import Team

ROWS, COLUMNS = 40, 320  # neither whole tiles nor whole blocks of every format
TOKENS = 21  # products of 8, 4 and 1 tokens at a time; two blocks of a cache
HEADS, KV_HEADS, HEAD_DIM = 4, 1, 64
HEADS_A_CHUNK = 2
ROUNDING = 2e-5  # of the sum of absolute terms: 320 float32 additions
CACHE_NOISE = {"float32": 1e-5, "float16": 2e-3, "int8": 2e-2, "int4": 2e-1}  # RMS, of unit values
EPSILON = 1e-5
SCRATCH_BYTES = 2**16
SINKS = [sink for sink in catalogue.SINKS if sink != FLOAT.sink]
GATES = {"silu": "group", "gelu": "moment", "relu2": "row"}  # with one of the sinks each


@dataclass(frozen=True)
class Check:
    """A kernel's largest error, as a share of what rounding explains."""

    kernel: str
    error: float

    @property
    def passed(self) -> bool:
        return self.error <= 1  # not if it is NaN


def selftest(kernels: Library) -> list[Check]:
    """Every weight format, cache and activation; a moment once the kernels are compiled."""
    formats = [n.removeprefix("matmul-") for n in catalogue.KERNELS if n.startswith("matmul-")]
    kernels.load(["step", "work", *_names(formats)])  # at once: progress counts all of them
    bench = _Bench(kernels)
    try:
        return list(_checks(bench, formats))
    finally:
        bench.team.close()


def _names(formats: list[str]) -> list[str]:
    names = [f"plain-{sink}" for sink in SINKS]
    names += [f"{source}-norm-{sink}" for source, sink in GATES.items()]
    names += [f"{op}-{form}" for form in formats for op in ("matmul", "embedding")]
    names += [f"rope-{kind}" for kind in catalogue.KV_KINDS]
    return names + [f"attention-{kind}-h{HEADS_A_CHUNK}" for kind in catalogue.KV_KINDS]


def _checks(bench: "_Bench", formats: list[str]) -> Iterator[Check]:
    for sink in SINKS:
        yield _rounding(bench, sink)
    for source, sink in GATES.items():
        yield _gate(bench, source, sink)
    for name in formats:
        yield from _matrix(bench, weight_format(name))
    for kind in catalogue.KV_KINDS:
        yield _attention(bench, kind)


class _Bench:
    """Memory, random numbers and a team of two to run single ops with."""

    def __init__(self, kernels: Library):
        self.kernels = kernels
        self.team = Team(kernels, 2, SCRATCH_BYTES)
        self.random = np.random.default_rng(0)
        self._arena = Arena()
        self.registers = self.zeros(8, dtype="<i8")
        self.registers[1] = TOKENS

    def zeros(self, *shape: int, dtype: str = "<f4") -> np.ndarray:
        return self._arena.array(shape, dtype)

    def normal(self, *shape: int) -> np.ndarray:
        array = self.zeros(*shape)
        array[:] = self.random.standard_normal(shape)
        return array

    def place(self, payload: np.ndarray) -> np.ndarray:
        """A copy where kernels can read it."""
        raw = payload.view(np.uint8).ravel()
        array = self.zeros(raw.size, dtype="u1")
        array[:] = raw
        return array

    def register(self, index: int) -> int:
        return address(self.registers) + 8 * index

    def run(self, kernel: str, *arguments: int, chunks: int = 1, tokens: int = 0) -> None:
        self.team.run(Plan([Op(kernel, arguments, chunks, tokens)], self.kernels), TOKENS, 1)

    def rounded(
        self, kernel: str, x: np.ndarray, up: np.ndarray, norm: int, zero: int
    ) -> "_Rounded":
        """Run an activation kernel of kernels/activations.py."""
        r = _Rounded(
            out=self.zeros(*x.shape),
            codes=self.zeros(TOKENS, 512, dtype="i1"),
            scales=self.zeros(TOKENS, 32),
            starts=self.zeros(TOKENS, 32),
        )
        self.run(
            kernel, self.register(1), address(x), x.strides[0], address(up), up.strides[0],
            address(r.out), r.out.strides[0], COLUMNS, COLUMNS, norm, float_bits(EPSILON),
            address(r.codes), r.codes.strides[0], address(r.scales), address(r.starts),
            r.scales.strides[0], zero, tokens=4,
        )  # fmt: skip
        return r


@dataclass(frozen=True)
class _Rounded:
    """Activations as int8 codes with scales, and as the floats they were made from."""

    out: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    starts: np.ndarray

    def scale(self, sink: str) -> np.ndarray:
        """float32 [tokens, columns]"""
        if sink in ("group", "group16", "moment"):
            return np.repeat(self.scales, 32, axis=1)[:, :COLUMNS]
        return np.repeat(self.scales[:, :1], COLUMNS, axis=1)

    def values(self, sink: str) -> np.ndarray:
        return self.codes[:, :COLUMNS] * self.scale(sink).astype(np.float64)


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


def _check(kernel: str, found: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> Check:
    with np.errstate(invalid="ignore"):
        return Check(kernel, float((np.abs(found - expected) / allowed).max()))


def _rounding(bench: _Bench, sink: str) -> Check:
    """Codes are within half a step, a hair more for the division's own rounding."""
    x = bench.normal(TOKENS, COLUMNS)
    rounded = bench.rounded(f"plain-{sink}", x, x, 0, 1)
    half = rounded.scale(sink) * 0.5001
    return _check(f"plain-{sink}", rounded.values(sink), x, half)


def _gate(bench: _Bench, source: str, sink: str) -> Check:
    kernel = f"{source}-norm-{sink}"
    gate, up = bench.normal(TOKENS, COLUMNS), bench.normal(TOKENS, COLUMNS)
    weight = bench.normal(1, COLUMNS)
    expected = _ACTIVATIONS[source](gate.astype(np.float64)) * up
    mean = (expected**2).mean(axis=1, keepdims=True)
    expected = expected / np.sqrt(mean + EPSILON) * weight
    found = bench.rounded(kernel, gate, up, address(weight), 1).out
    return _check(kernel, found, expected, ROUNDING * (np.abs(expected) + 1))


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
}


def _matrix(bench: _Bench, form: WeightFormat) -> Iterator[Check]:
    """A product and an embedding with random weights of a format."""
    weights, magnitude, packed = _weights(bench, form)
    w = Matrix("", form, ROWS, COLUMNS, address(packed), 0)
    yield _product(bench, w, weights, magnitude)
    yield _embedding(bench, w, weights, magnitude)


def _weights(bench: _Bench, form: WeightFormat) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix, the absolute terms that its elements are sums of, and its tiles."""
    if form.is_float:
        values = bench.normal(ROWS, COLUMNS).astype(np.float16).astype(np.float32)
        return values, np.abs(values), bench.place(tiles.pack_floats(values, form.kind))
    codes = bench.random.integers(0, CODES[form.kind].levels, (ROWS, COLUMNS)).astype(np.uint8)
    groups = -(-COLUMNS // form.group) if form.group else 1
    scales = _halves(bench.random.uniform(0.01, 0.1, (ROWS, groups)))
    offsets = _halves(bench.random.uniform(-1, 0, (ROWS, groups))) if form.offset else None
    tensor = QuantizedTensor(form, codes, scales, offsets, _multipliers(bench, form))
    values = tensor.dequantize()
    shift = 0 if offsets is None else 2 * np.abs(offsets).max()
    return values, np.abs(values) + shift, bench.place(tiles.pack(tensor))


def _multipliers(bench: _Bench, form: WeightFormat) -> np.ndarray | None:
    if not form.multiplier_columns:
        return None
    shape = ROWS, -(-COLUMNS // form.multiplier_columns)
    return bench.random.integers(-128, 128, shape).astype(np.int8)


def _halves(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def _product(bench: _Bench, w: Matrix, weights: np.ndarray, magnitude: np.ndarray) -> Check:
    x = bench.normal(TOKENS, COLUMNS)
    source = (address(x), x.strides[0], 0, 0, 0)
    values = x.astype(np.float64)
    if w.encoding != FLOAT:
        r = bench.rounded(f"plain-{w.encoding.sink}", x, x, 0, w.encoding.zero)
        strides = r.codes.strides[0], r.scales.strides[0]
        source = (address(r.codes), strides[0], address(r.scales), address(r.starts), strides[1])
        values = r.values(w.encoding.sink)
    tiles_, tile_bytes = w.form.tiles(ROWS), w.form.tile_bytes(COLUMNS)
    bias, residual = bench.normal(1, 16 * tiles_), bench.normal(TOKENS, 16 * tiles_)
    out = bench.zeros(TOKENS, 16 * tiles_)
    bench.run(
        f"matmul-{w.form}", bench.register(0), bench.register(1), tiles_, 1,
        w.address, tile_bytes, w.steps, *source, address(out), out.strides[0],
        address(bias), address(residual), chunks=tiles_,
    )  # fmt: skip
    expected = values @ weights.T + bias[:, :ROWS] + residual[:, :ROWS]
    allowed = ROUNDING * (np.abs(values) @ magnitude.T + 1)
    return _check(f"matmul-{w.form}", out[:, :ROWS], expected, allowed)


def _embedding(bench: _Bench, w: Matrix, weights: np.ndarray, magnitude: np.ndarray) -> Check:
    form, factor = w.form, 2.5
    ids, out = bench.zeros(TOKENS, dtype="<i8"), bench.zeros(TOKENS, COLUMNS)
    ids[:] = bench.random.integers(0, ROWS, TOKENS)
    bench.run(
        f"embedding-{form}", bench.register(1), address(ids), w.address, form.tile_bytes(COLUMNS),
        form.block_bytes(COLUMNS), form.block_columns(COLUMNS), COLUMNS,
        address(out), out.strides[0], float_bits(factor), tokens=4,
    )  # fmt: skip
    expected = factor * weights[ids].astype(np.float64)
    return _check(f"embedding-{form}", out, expected, ROUNDING * factor * (magnitude[ids] + 1))


def _attention(bench: _Bench, kind: str) -> Check:
    """Rotate, keep and attend, all tokens at once; the cache's own rounding is noise."""
    q = bench.normal(TOKENS, HEADS * HEAD_DIM)
    k, v = (bench.normal(TOKENS, KV_HEADS * HEAD_DIM) for _ in range(2))
    angles = bench.random.uniform(0, 6, (TOKENS, HEAD_DIM // 2))
    cos, sin = bench.zeros(*angles.shape), bench.zeros(*angles.shape)
    cos[:], sin[:] = np.cos(angles), np.sin(angles)
    expected = _attended(_rotated(q, angles), _rotated(k, angles), v)
    size = block_bytes(kind, HEAD_DIM)
    blocks = -(-TOKENS // 16)
    cache, out = bench.zeros(blocks * size, dtype="u1"), bench.zeros(*q.shape)
    place = address(cache), blocks * size, size
    bench.run(
        f"rope-{kind}", bench.register(1), bench.register(0),
        address(q), q.strides[0], HEADS, address(k), address(v), k.strides[0], KV_HEADS,
        HEAD_DIM, HEAD_DIM, address(cos), address(sin), cos.strides[0], 0, 0, 0, *place, tokens=4,
    )  # fmt: skip
    kernel, parts = f"attention-{kind}-h{HEADS_A_CHUNK}", HEADS // HEADS_A_CHUNK
    bench.run(
        kernel, bench.register(1), bench.register(0),
        address(q), q.strides[0], address(out), out.strides[0],
        parts, parts // KV_HEADS, HEAD_DIM, float_bits(HEAD_DIM**-0.5), 0, 0,
        *place, 4 * 64, chunks=parts, tokens=8,
    )  # fmt: skip
    error = np.sqrt(((out - expected) ** 2).mean())
    return Check(kernel, float(error / CACHE_NOISE[kind]))


def _rotated(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """float64 [tokens, heads, HEAD_DIM]; pairs (j, j + HEAD_DIM / 2)."""
    heads = x.astype(np.float64).reshape(TOKENS, -1, 2, HEAD_DIM // 2)
    a, b = heads[:, :, 0], heads[:, :, 1]
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.concatenate([a * c - b * s, b * c + a * s], axis=2)


def _attended(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal softmax attention, float64 [tokens, HEADS * HEAD_DIM]; all heads share k and v."""
    scores = np.einsum("thd,sd->hts", q, k[:, 0]) * HEAD_DIM**-0.5
    scores[:, np.triu(np.ones((TOKENS, TOKENS), bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    out: np.ndarray = np.einsum("hts,sd->thd", weights, v).reshape(TOKENS, -1)
    return out
