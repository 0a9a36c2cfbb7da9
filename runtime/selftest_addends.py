"""What the self-test asks of kernels/addends.py: found, expected, and the sum of absolute terms."""

import numpy as np

from edge.format.addends import Sparse

from .single_ops import COLUMNS, ROWS, TOKENS, Bench, address

Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def take_out(bench: Bench) -> Found:
    x, rest, taken = (bench.normal(TOKENS, n) for n in (COLUMNS, COLUMNS, 16))
    columns = bench.place(np.array([0, 17, COLUMNS - 1], "<i4")).view("<i4")
    bench.run(
        "take-out", bench.register(1), address(x), x.strides[0], address(rest), rest.strides[0],
        COLUMNS, address(columns), len(columns), address(taken), taken.strides[0], tokens=4,
    )  # fmt: skip
    expected = x.copy()
    expected[:, columns] = 0
    found = np.concatenate([rest, taken[:, : len(columns)]], axis=1)
    expected = np.concatenate([expected, x[:, columns]], axis=1)
    return found, expected, np.zeros_like(found)


def take_columns(bench: Bench) -> Found:
    x, out = bench.normal(TOKENS, COLUMNS), bench.zeros(TOKENS, COLUMNS)
    order = bench.random.permutation(COLUMNS).astype("<i4")
    columns = bench.place(order).view("<i4")
    bench.run(
        "take-columns", bench.register(1), address(x), x.strides[0], address(out), out.strides[0],
        COLUMNS, address(columns), COLUMNS, tokens=4,
    )  # fmt: skip
    return out, x[:, order], np.zeros_like(out)


def sparse_add(bench: Bench) -> Found:
    matrix, x = bench.normal(ROWS, COLUMNS), bench.normal(TOKENS, COLUMNS)
    sparse = Sparse.of(matrix, bench.random.random(matrix.shape) < 0.1)
    rows, entries = (bench.place(part).view("<i4") for part in (sparse.rows, sparse.entries))
    padded = len(rows) - 1
    out = bench.normal(len(x), padded)
    weights = sparse.dense(padded, COLUMNS).astype(np.float64)
    expected = out + x @ weights.T
    bench.run(
        "sparse-add", bench.register(0), bench.register(1), padded, 16, address(rows),
        address(entries), address(x), x.strides[0], address(out), out.strides[0],
        chunks=padded // 16,
    )  # fmt: skip
    return out, expected, np.abs(x) @ np.abs(weights).T


ADDENDS = {"take-out": take_out, "take-columns": take_columns, "sparse-add": sparse_add}
