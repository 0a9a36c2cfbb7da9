"""Does every kernel compute what NumPy does?  One small shape each.

    python -m edge.runtime.selftest LIBRARY     [names of wrong kernels], as JSON

Activations are rounded by the kernels themselves, and the products are compared with the
reference on the rounded ones, so that only the order of float32 additions differs.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from edge.format import tiles
from edge.format.formats import CODEBOOK_ROWS, CODES, QuantizedTensor, WeightFormat
from edge.format.spec import weight_format

from .kernels import catalogue
from .kv_cache import block_bytes
from .libraries.cpu import machine
from .libraries.library import Library
from .libraries.prebuilt import Prebuilt
from .lowering.buffers import BY_TOKEN, FLOAT
from .lowering.weights import Matrix
from .plan import float_bits
from .selftest_addends import ADDENDS
from .selftest_graph import GRAPHS
from .single_ops import COLUMNS, EPSILON, ROWS, TOKENS, Bench, address

ROUNDING = 2e-5  # of the sum of absolute terms: 320 float32 additions
HEAD_DIM = 64
CACHE_NOISE = {"float32": 1e-5, "float16": 2e-3, "int8": 2e-2, "int4": 2e-1}  # RMS, of unit values


@dataclass(frozen=True)
class Check:
    """A kernel's largest error, as a share of what rounding explains."""

    kernel: str
    error: float

    @property
    def passed(self) -> bool:
        return self.error <= 1  # not if it is NaN


def selftest(kernels: Library, names: list[str] | None = None) -> list[Check]:
    """Kernels by name, all if none are given; well under a second once they are compiled."""
    names = [name for name in catalogue.NAMES if kernels.has(name)] if names is None else names
    kernels.load(["step", "work", *names])  # at once: progress counts all of them
    bench = Bench(kernels)
    try:
        return [_CHECKS[name.partition("-")[0]](bench, name) for name in names]
    finally:
        bench.team.close()


def _check(kernel: str, found: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> Check:
    with np.errstate(invalid="ignore"):
        return Check(kernel, float((np.abs(found - expected) / allowed).max()))


def _activation(bench: Bench, name: str) -> Check:
    """The float32 result, and its codes: within half a step, a hair more for the division."""
    source, *norms, sink = name.split("-")
    norm = norms[0] if norms else ""
    gate, up = bench.normal(TOKENS, COLUMNS), bench.normal(TOKENS, COLUMNS)
    weight, bias = bench.normal(1, COLUMNS), bench.normal(1, COLUMNS)
    expected = gate.astype(np.float64)
    if source != "plain":
        expected = _ACTIVATIONS[source](expected) * (1 if source in catalogue.ALONE else up)
    if norm == "norm":
        expected = _normalized(expected) * weight
    if norm == "layernorm":
        expected = _normalized(expected - expected.mean(axis=1, keepdims=True)) * weight + bias
    r = bench.rounded(name, gate, up, address(weight), 1, address(bias))
    found = r.out if norm or source != "plain" else gate
    check = _check(name, found, expected, ROUNDING * (np.abs(expected) + 1))
    if sink == FLOAT.sink:
        return check
    errors = [check.error]
    largest = np.abs(found).max(axis=1, keepdims=True) / np.float32(127)
    fixed = np.broadcast_to(largest.max(), largest.shape)
    for given, scales in ((0.0, r.scale(sink)), (BY_TOKEN, largest), (fixed[0, 0], fixed)):
        r = bench.rounded(name, gate, up, address(weight), 1, address(bias), float(given))
        errors += [
            _check(name, r.values(sink), found, r.scale(sink) * 0.5001).error,
            _check(name, r.scale(sink), scales, ROUNDING * scales).error,
        ]
    return Check(name, float(np.max(errors)))  # of NaN it is NaN


def _normalized(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + EPSILON)
    return out


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "times": lambda x: x,
    "exactgelu": np.vectorize(lambda x: x / 2 * math.erfc(-x / math.sqrt(2))),
    "tanhgelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
}


def _matrix(bench: Bench, name: str) -> tuple[Matrix, np.ndarray, np.ndarray]:
    """Random weights of a kernel's format, dequantized, and the absolute terms they are sums of."""
    form = weight_format(name.partition("-")[2])
    weights, magnitude, packed = _weights(bench, form)
    return Matrix("", form, ROWS, COLUMNS, address(packed), 0), weights, magnitude


def _weights(bench: Bench, form: WeightFormat) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix, the absolute terms that its elements are sums of, and its tiles."""
    if form.is_float:
        values = bench.normal(ROWS, COLUMNS).astype(np.float16).astype(np.float32)
        return values, np.abs(values), bench.place(tiles.pack_floats(values, form.kind))
    codes = bench.random.integers(0, CODES[form.kind].levels, (ROWS, COLUMNS)).astype(np.uint8)
    groups = -(-COLUMNS // form.group) if form.group else 1
    scales = _halves(bench.random.uniform(0.01, 0.1, (ROWS, groups)))
    offsets = _halves(bench.random.uniform(-1, 0, (ROWS, groups))) if form.offset else None
    factor, books = _multipliers(bench, form), _codebooks(bench, form)
    shift_factor = _multipliers(bench, form) if form.offset else None
    tensor = QuantizedTensor(form, codes, scales, offsets, factor, shift_factor, books)
    values, (_, shifts) = tensor.dequantize(), tensor.steps()
    shift = 0 if shifts is None else 2 * np.abs(shifts).max()
    return values, np.abs(values) + shift, bench.place(tiles.pack(tensor))


def _multipliers(bench: Bench, form: WeightFormat) -> np.ndarray | None:
    if not form.multiplier_columns:
        return None
    values, shape = form.multiplier_values, (ROWS, form.runs(COLUMNS))
    return bench.random.integers(values.start, values.stop, shape).astype(np.int8)


def _codebooks(bench: Bench, form: WeightFormat) -> np.ndarray | None:
    if not form.has_codebook:
        return None
    shape = -(-ROWS // CODEBOOK_ROWS), CODES[form.kind].levels
    return bench.random.integers(-128, 128, shape).astype(np.int8)


def _halves(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def _product(bench: Bench, name: str) -> Check:
    return _multiplied(bench, *_matrix(bench, name))


def _weight_only(bench: Bench, name: str) -> Check:
    """The worst of the formats that the kernel serves."""
    kind = name.removeprefix("weight-only-")
    forms = (form for form in catalogue.PRODUCTS if weight_format(form).kind == kind)
    parts = (_matrix(bench, f"matmul-{form}") for form in forms)
    checks = [_multiplied(bench, replace(w, weight_only=True), *rest) for w, *rest in parts]
    return Check(name, float(np.max([check.error for check in checks])))  # of NaN it is NaN


def _multiplied(bench: Bench, w: Matrix, weights: np.ndarray, magnitude: np.ndarray) -> Check:
    x = bench.normal(TOKENS, COLUMNS)
    source = (address(x), x.strides[0], *w.scales_layout)
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
        w.kernel, bench.register(0), bench.register(1), tiles_, 1,
        w.address, tile_bytes, w.steps, *source, address(out), out.strides[0],
        address(bias), address(residual), chunks=tiles_,
    )  # fmt: skip
    expected = values @ weights.T + bias[:, :ROWS] + residual[:, :ROWS]
    allowed = ROUNDING * (np.abs(values) @ magnitude.T + 1)
    return _check(w.kernel, out[:, :ROWS], expected, allowed)


def _embedding(bench: Bench, name: str) -> Check:
    w, weights, magnitude = _matrix(bench, name)
    form, factor = w.form, 2.5
    ids, out = bench.zeros(TOKENS, dtype="<i8"), bench.zeros(TOKENS, COLUMNS)
    ids[:] = bench.random.integers(0, ROWS, TOKENS)
    bench.run(
        name, bench.register(1), address(ids), w.address, form.tile_bytes(COLUMNS),
        form.block_bytes(COLUMNS), form.block_columns(COLUMNS), COLUMNS,
        address(out), out.strides[0], float_bits(factor), tokens=4,
    )  # fmt: skip
    expected = factor * weights[ids].astype(np.float64)
    return _check(name, out, expected, ROUNDING * factor * (magnitude[ids] + 1))


def _attention(bench: Bench, name: str) -> Check:
    """Rotate, keep and attend, all tokens at once; the cache's own rounding is noise."""
    _, kind, heads = name.split("-")
    state = _Heads(bench, kind, int(heads[1:]))
    expected = _attended(_rotated(state.q, state.angles), state.rotated_keys(), state.v)
    state.rotate()
    error = np.sqrt(((state.attend(name) - expected) ** 2).mean())
    return Check(name, float(error / CACHE_NOISE[kind]))


def _rope(bench: Bench, name: str) -> Check:
    """Queries and keys in place; what is kept of them is attention's check."""
    state = _Heads(bench, name.partition("-")[2], 2)
    expected = np.concatenate([_rotated(state.q, state.angles), state.rotated_keys()], axis=1)
    state.rotate()
    found = np.concatenate([state.q, state.k], axis=1).reshape(expected.shape)
    return _check(name, found, expected, ROUNDING * (np.abs(expected) + 1))


class _Heads:
    """`heads` query heads that share one head of keys and values, and a cache for all tokens."""

    def __init__(self, bench: Bench, kind: str, heads: int):
        self.bench, self.kind, self.heads = bench, kind, heads
        self.q = bench.normal(TOKENS, heads * HEAD_DIM)
        self.k, self.v = bench.normal(TOKENS, HEAD_DIM), bench.normal(TOKENS, HEAD_DIM)
        self.angles = bench.random.uniform(0, 6, (TOKENS, HEAD_DIM // 2))
        self.cos, self.sin = bench.zeros(*self.angles.shape), bench.zeros(*self.angles.shape)
        self.cos[:], self.sin[:] = np.cos(self.angles), np.sin(self.angles)
        size, blocks = block_bytes(kind, HEAD_DIM), -(-TOKENS // 16)
        self.cache = bench.zeros(blocks * size, dtype="u1")
        self.place = address(self.cache), blocks * size, size

    def rotated_keys(self) -> np.ndarray:
        return _rotated(self.k, self.angles)

    def rotate(self) -> None:
        """As rope: the caches fill, queries and keys turn."""
        bench, q, k, cos = self.bench, self.q, self.k, self.cos
        bench.run(
            f"rope-{self.kind}", bench.register(1), bench.register(0),
            address(q), q.strides[0], self.heads, address(k), address(self.v), k.strides[0], 1,
            HEAD_DIM, HEAD_DIM, address(cos), address(self.sin), cos.strides[0], 0, 0, 0,
            *self.place, tokens=4,
        )  # fmt: skip

    def attend(self, kernel: str) -> np.ndarray:
        bench, q = self.bench, self.q
        out = bench.zeros(*q.shape)
        bench.run(
            kernel, bench.register(1), bench.register(0),
            address(q), q.strides[0], address(out), out.strides[0],
            1, 1, HEAD_DIM, float_bits(HEAD_DIM**-0.5), 0, 0,
            *self.place, 4 * 64, tokens=8,
        )  # fmt: skip
        return out


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


def _positions(bench: Bench, name: str) -> Check:
    x, table, positions = (
        *(bench.normal(TOKENS, COLUMNS) for _ in "ab"),
        bench.zeros(TOKENS, dtype="<i8"),
    )
    positions[:] = bench.random.integers(0, TOKENS, TOKENS)
    expected = x.astype(np.float64) + table[positions]
    bench.run(
        name, bench.register(1), address(positions), address(table), COLUMNS,
        address(x), x.strides[0], tokens=4,
    )  # fmt: skip
    return _check(name, x, expected, ROUNDING * (np.abs(expected) + 1))


def _bidirectional(bench: Bench, name: str) -> Check:
    """Two texts of 13 and 8 tokens: blocks of 8, 4 and 1."""
    heads, starts = 2, bench.zeros(3, dtype="<i8")
    starts[:] = 0, TOKENS - 8, TOKENS
    q, k, v, out = (bench.normal(TOKENS, heads * HEAD_DIM) for _ in range(4))
    bench.run(
        name, address(starts), address(q), address(k), address(v), q.strides[0],
        address(out), out.strides[0], heads, HEAD_DIM, float_bits(HEAD_DIM**-0.5), 4 * 64,
        chunks=2 * heads,
    )  # fmt: skip
    parts = (
        tuple(x[a:b].reshape(b - a, heads, -1) for x in (q, k, v)) for a, b in pairwise(starts)
    )
    expected = np.concatenate([_all_attended(*part).reshape(len(part[0]), -1) for part in parts])
    return _check(name, out, expected, ROUNDING * (np.abs(expected) + 1))


def _all_attended(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Softmax attention of all tokens to all, float64 [tokens, heads, HEAD_DIM]."""
    scores = np.einsum("thd,shd->hts", q, k, dtype=np.float64) * HEAD_DIM**-0.5
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    out: np.ndarray = np.einsum("hts,shd->thd", weights / weights.sum(axis=2, keepdims=True), v)
    return out


def _norm_add(bench: Bench, name: str) -> Check:
    x, out, weight = (bench.normal(n, COLUMNS) for n in (TOKENS, TOKENS, 1))
    expected = out + _normalized(x.astype(np.float64)) * weight
    bench.run(
        name, bench.register(1), address(x), x.strides[0], 0, 0, address(out), out.strides[0],
        COLUMNS, COLUMNS, address(weight), float_bits(EPSILON), tokens=4,
    )  # fmt: skip
    return _check(name, out, expected, ROUNDING * (np.abs(expected) + 1))


def _addend(bench: Bench, name: str) -> Check:
    found, expected, magnitude = ADDENDS[name](bench)
    return _check(name, found, expected, ROUNDING * (magnitude + 1))


def _of_graph(bench: Bench, name: str) -> Check:
    found, expected, magnitude = GRAPHS[name.partition("-")[0]](bench, name)
    return _check(name, found, expected, ROUNDING * (magnitude + 1))


def _softcap(bench: Bench, name: str) -> Check:
    x, cap = bench.normal(TOKENS, COLUMNS), 2.0
    expected = cap * np.tanh(x.astype(np.float64) / cap)
    bench.run(
        name, 0, address(x), x.strides[0], *[0] * 4, COLUMNS, 0, 0, float_bits(cap),
        chunks=64, tokens=1,
    )  # fmt: skip
    return _check(name, x, expected, ROUNDING * (np.abs(expected) + 1))


def _read(bench: Bench, name: str) -> Check:
    x, sums = bench.normal(TOKENS, 512), bench.zeros(TOKENS, 16)
    bench.run(name, address(x), x.strides[0], address(sums), chunks=TOKENS)
    expected, allowed = x.sum(axis=1, dtype=np.float64), ROUNDING * np.abs(x).sum(axis=1)
    return _check(name, sums.sum(axis=1, dtype=np.float64), expected, allowed)


def _walk(bench: Bench, name: str) -> Check:
    """A team that skips or repeats a chunk gives other sums."""
    return _read(bench, "read")


_CHECKS: dict[str, Callable[[Bench, str], Check]] = {  # by the first word of a kernel's name
    **dict.fromkeys((source for source, _ in catalogue.NORMS), _activation),
    "times": _activation,
    "matmul": _product,
    "weight": _weight_only,
    "embedding": _embedding,
    "rope": _rope,
    "attention": _attention,
    "norm": _norm_add,
    "softcap": _softcap,
    "take": _addend,
    "sparse": _addend,
    "positions": _positions,
    "bidirectional": _bidirectional,
    **dict.fromkeys(GRAPHS, _of_graph),
    "read": _read,
    "step": _walk,
    "work": _walk,
}

if __name__ == "__main__":
    checks = selftest(Prebuilt(Path(sys.argv[1]), machine()))
    print(json.dumps([check.kernel for check in checks if not check.passed]))
