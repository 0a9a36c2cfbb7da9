"""Rotation, cache and attention together: what a layer does with its queries, keys and values."""

import machine
import numpy as np
import oracle
import pytest

from edge.runtime.kv_cache import KINDS, block_bytes
from edge.runtime.plan import float_bits

# What a cache may lose: float16 has 11 bits, int8 half a step of max / 127, int4 of range / 15.
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "int8": 2e-2, "int4": 0.35}


class Layer:
    """A cache of one layer, filled and read by the kernels."""

    def __init__(self, kernels, kind, heads, kv_heads, dim, context=160, dims=None):
        self.kernels, self.kind = kernels, kind
        self.heads, self.kv_heads, self.dim, self.dims = heads, kv_heads, dim, dims or dim
        self.block = block_bytes(kind, dim)
        self.head_bytes = context // 16 * self.block
        self.cache = machine.aligned(np.zeros(kv_heads * self.head_bytes, np.uint8))
        self.row_bytes = 4 * (context + 16)
        self.scratch = machine.aligned(np.zeros(16 * self.row_bytes + 1024, np.uint8))

    def rope(self, q, k, v, angles, position, norms=(0, 0)):
        """Rotate q and k in place, keep k and v; float32 [tokens, heads * dim]."""
        tokens, at = len(q), machine.address
        registers = np.array([tokens, position], np.int64)
        rows = np.zeros((position + tokens, angles.shape[1]))
        rows[position:] = angles
        cos, sin = (machine.aligned(f(rows).astype(np.float32)) for f in (np.cos, np.sin))
        arguments = (
            at(registers), at(registers) + 8, at(q), q.strides[0], self.heads,
            at(k), at(v), k.strides[0], self.kv_heads, self.dim, self.dims,
            at(cos), at(sin), cos.strides[0], *norms, float_bits(1e-6),
            at(self.cache), self.head_bytes, self.block,
        )  # fmt: skip
        machine.run(self.kernels, f"rope-{self.kind}", arguments, -(-tokens // 4))

    def attend(self, q, position, scale, window=0, cap=0.0):
        tokens, at = len(q), machine.address
        registers = np.array([tokens, position], np.int64)
        out = machine.aligned(np.zeros_like(q))
        together = self.heads // self.kv_heads
        arguments = (
            at(registers), at(registers) + 8, at(q), q.strides[0], at(out), out.strides[0],
            self.heads // together, self.heads // self.kv_heads // together, self.dim,
            float_bits(scale), float_bits(cap), window, at(self.cache), self.head_bytes, self.block, self.row_bytes,
        )  # fmt: skip
        chunks = -(-tokens // 8) * (self.heads // together)
        name = f"attention-{self.kind}-h{together}"
        machine.run(self.kernels, name, arguments, chunks, at(self.scratch))
        return out.reshape(tokens, self.heads, self.dim)


def vectors(rng, tokens, heads, dim):
    return machine.aligned(rng.standard_normal((tokens, heads * dim)).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads, kv_heads, dim", [(4, 2, 32), (3, 1, 64), (2, 2, 96)])
@pytest.mark.parametrize("window, cap", [(0, 0.0), (20, 0.0), (0, 5.0)])
def test_attention_over_prefill_and_steps(kernels, kind, heads, kv_heads, dim, window, cap):
    rng = np.random.default_rng([heads, dim])
    layer = Layer(kernels, kind, heads, kv_heads, dim)
    frequencies = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    keys, values, position = [], [], 0
    for tokens in (33, 1, 8, 13, 1, 70):
        q, k, v = (vectors(rng, tokens, n, dim) for n in (heads, kv_heads, kv_heads))
        angles = (position + np.arange(tokens))[:, None] * frequencies
        turned = [
            np.stack([oracle.rotate(row, a) for row, a in
                      zip(x.reshape(tokens, -1, dim).astype(np.float64), angles, strict=True)])
            for x in (q, k)
        ]  # fmt: skip
        layer.rope(q, k, v, angles, position)
        assert np.abs(q.reshape(tokens, heads, dim) - turned[0]).max() < 1e-5
        keys.append(turned[1])
        values.append(v.reshape(tokens, kv_heads, dim).astype(np.float64))
        got = layer.attend(q, position, dim**-0.5, window, cap)
        k_all, v_all = np.concatenate(keys), np.concatenate(values)
        expected = oracle.attention(turned[0], k_all, v_all, dim**-0.5, window, cap)
        assert np.abs(got - expected).max() < TOLERANCE[kind]
        position += tokens


def test_heads_of_16_and_partial_rotation(kernels):
    rng = np.random.default_rng(7)
    layer = Layer(kernels, "float16", 2, 1, 16, dims=8)
    q, k, v = (vectors(rng, 5, n, 16) for n in (2, 1, 1))
    angles = np.arange(5)[:, None] * 0.3 ** np.arange(4)
    expected = np.stack([oracle.rotate(x, a) for x, a in
                         zip(q.reshape(5, 2, 16).astype(np.float64), angles, strict=True)])  # fmt: skip
    layer.rope(q, k, v, angles, 0)
    assert np.abs(q.reshape(5, 2, 16) - expected).max() < 1e-6


def test_queries_and_keys_are_normalized_before_the_rotation(kernels):
    rng = np.random.default_rng(8)
    layer = Layer(kernels, "float16", 2, 1, 32)
    q, k, v = (vectors(rng, 3, n, 32) for n in (2, 1, 1))
    weight = machine.aligned(rng.random(32).astype(np.float32))
    angles = np.arange(3)[:, None] * 0.5 ** np.arange(16)
    normed = oracle.rms_norm(q.reshape(3, 2, 32), weight, 1e-6)
    expected = np.stack([oracle.rotate(x, a) for x, a in zip(normed, angles, strict=True)])
    layer.rope(q, k, v, angles, 0, (machine.address(weight), machine.address(weight)))
    assert np.abs(q.reshape(3, 2, 32) - expected).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_one_position_gives_its_value_back(kernels, kind):
    rng = np.random.default_rng(9)
    layer = Layer(kernels, kind, 1, 1, 32)
    q, k, v = (vectors(rng, 1, 1, 32) for _ in range(3))
    layer.rope(q, k, v, np.zeros((1, 16)), 0)
    got = layer.attend(q, 0, 1.0)[0, 0]
    step = {
        "float32": 1e-6,
        "float16": 2e-3,
        "int8": np.abs(v).max() / 250,
        "int4": np.ptp(v) / 28,
    }[kind]
    assert np.abs(got - v[0]).max() <= step
