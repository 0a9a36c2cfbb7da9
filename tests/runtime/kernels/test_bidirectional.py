"""Texts packed one after the other: positions, and attention that stays within a text."""

import machine
import numpy as np
import oracle
import pytest

from edge.runtime.plan import float_bits


class Texts:
    """Queries, keys and values of texts of these lengths, random."""

    def __init__(self, lengths, heads, dim, seed=0):
        rng = np.random.default_rng([seed, *lengths])
        self.heads, self.dim = heads, dim
        self.starts = np.array([0, *np.cumsum(lengths)], np.int64)
        shape = int(self.starts[-1]), heads * dim
        self.q, self.k, self.v = (
            machine.aligned(rng.standard_normal(shape).astype(np.float32)) for _ in range(3)
        )

    def attend(self, kernels, scale):
        """float32 [tokens, heads, dim]"""
        out, at = machine.aligned(np.full_like(self.q, np.nan)), machine.address
        longest = int(np.diff(self.starts).max())
        row_bytes = 4 * (longest + 16)
        keys = -(-longest // 16) * 64 * self.dim
        # Whatever an earlier text left in scratch memory must not matter.
        scratch = machine.aligned(np.full(keys // 4 + 2 * row_bytes, np.nan, np.float32))
        arguments = (
            at(self.starts), at(self.q), at(self.k), at(self.v), self.q.strides[0],
            at(out), out.strides[0], self.heads, self.dim, float_bits(scale), row_bytes,
        )  # fmt: skip
        chunks = self.heads * (len(self.starts) - 1)
        machine.run(kernels, "bidirectional", arguments, chunks, at(scratch))
        return out.reshape(len(out), self.heads, self.dim)

    def expected(self, scale):
        parts = [x.reshape(len(x), self.heads, self.dim) for x in (self.q, self.k, self.v)]
        ends = zip(self.starts[:-1], self.starts[1:], strict=True)
        return np.concatenate(
            [oracle.bidirectional(*(x[a:b] for x in parts), scale) for a, b in ends]
        )


@pytest.mark.parametrize("lengths", [(1,), (7,), (16,), (29, 1, 8), (3, 40, 17, 2, 16)])
@pytest.mark.parametrize("heads, dim", [(1, 16), (3, 32), (2, 48)])
def test_attention_agrees_with_its_formula_text_by_text(kernels, lengths, heads, dim):
    texts = Texts(lengths, heads, dim)
    error = np.abs(texts.attend(kernels, dim**-0.5) - texts.expected(dim**-0.5))
    # exp is good to 2e-7, scores of `dim` products and sums of 40 weights to some ulps.
    assert error.max() < 1e-5


def test_sharp_attention_picks_the_likeliest_value(kernels):
    texts = Texts((21,), 2, 32)
    found = texts.attend(kernels, 100.0)
    assert np.isfinite(found).all() and np.abs(found - texts.expected(100.0)).max() < 1e-3


@pytest.mark.parametrize("width", [16, 96])
def test_positions_are_added_by_their_number(kernels, width):
    rng = np.random.default_rng(width)
    x, table = (machine.aligned(rng.standard_normal((n, width)).astype(np.float32)) for n in (9, 5))
    expected = x + table[[0, 1, 2, 0, 1, 2, 3, 4, 0]]
    positions = np.array([0, 1, 2, 0, 1, 2, 3, 4, 0], np.int64)
    end, at = np.array([9], np.int64), machine.address
    arguments = at(end), at(positions), at(table), width, at(x), x.strides[0]
    machine.run(kernels, "positions", arguments, 3)
    assert (x == expected).all()
