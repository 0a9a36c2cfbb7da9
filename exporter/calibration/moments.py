"""Statistics of what a matrix reads, token by token; two halves add up to the whole."""

from dataclasses import dataclass, fields

import numpy as np

SINK = 4  # first tokens of a window, which soak up attention: up to 500 times the others' energy
BALANCE = 0.3  # share of all tokens' moments, beside the body's, each by its trace
BINS = np.arange(-24, 17)  # log2 |x|


@dataclass
class Moments:
    """Of x, float32 [tokens, columns].

    body     float64 [columns, columns]: sum of x^T x, without the sinks
    sink     float64, likewise: the first tokens of every window
    sums     float64 [columns]: sum of x, without the sinks
    total    float64 [columns]: sum of |x|
    largest  float64 [columns]: max |x|
    counts   int64 [42]: values by log2 |x|, below -24, -24 .. -23, ... 16 and more
    tokens, sinks  how many
    """

    body: np.ndarray
    sink: np.ndarray
    sums: np.ndarray
    total: np.ndarray
    largest: np.ndarray
    counts: np.ndarray
    tokens: np.ndarray
    sinks: np.ndarray

    @classmethod
    def empty(cls, columns: int) -> "Moments":
        body, sink = np.zeros((2, columns, columns))
        sums, total, largest = np.zeros((3, columns))
        tokens, sinks = np.zeros((2, 1), np.int64)
        counts = np.zeros(len(BINS) + 1, np.int64)
        return cls(body, sink, sums, total, largest, counts, tokens, sinks)

    def update(self, x: np.ndarray, sinks: int = SINK) -> None:
        """Add a window, whose first tokens are sinks."""
        first, rest = x[:sinks], x[sinks:]
        self.body += rest.T @ rest
        if len(first):
            self.sink += first.T @ first
        self.sums += rest.sum(axis=0, dtype=np.float64)
        size = np.abs(x)
        self.total += size.sum(axis=0, dtype=np.float64)
        np.maximum(self.largest, size.max(axis=0), out=self.largest)
        _, exponents = np.frexp(size)
        at = np.where(size == 0, 0, np.clip(exponents - 1 - BINS[0] + 1, 0, len(BINS)))
        self.counts += np.bincount(at.ravel(), minlength=len(self.counts))
        self.tokens += len(rest)
        self.sinks += len(first)

    def __add__(self, other: "Moments") -> "Moments":
        summed = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Moments(**summed | {"largest": np.maximum(self.largest, other.largest)})

    @property
    def mean(self) -> np.ndarray:
        """float64 [columns]: E[x] without the sinks."""
        mean: np.ndarray = self.sums / max(1, int(self.tokens[0]))
        return mean

    @property
    def mean_size(self) -> np.ndarray:
        """float64 [columns]: E|x| of all tokens."""
        mean: np.ndarray = self.total / max(1, int(self.tokens[0] + self.sinks[0]))
        return mean

    @property
    def plain(self) -> np.ndarray:
        """float64 [columns, columns]: E[x x^T] without the sinks."""
        plain: np.ndarray = self.body / max(1, int(self.tokens[0]))
        return plain

    @property
    def balanced(self) -> np.ndarray:
        """float64 [columns, columns]: H of methods that minimize tr(D H D^T).

        With the sinks' moments as they are, one direction is all that counts; without them it is
        free, and the output of every window's first token is lost (perplexity x 1.9).
        """
        every = self.body + self.sink
        h: np.ndarray = self.body / _trace(self.body) + BALANCE * every / _trace(every)
        return h


def _trace(h: np.ndarray) -> float:
    return float(np.trace(h)) or 1.0


def save(moments: Moments, prefix: str) -> dict[str, np.ndarray]:
    """Arrays of an npz; second moments as float32."""
    arrays = {f"{prefix}.{f.name}": getattr(moments, f.name) for f in fields(moments)}
    for name in ("body", "sink"):
        arrays[f"{prefix}.{name}"] = arrays[f"{prefix}.{name}"].astype(np.float32)
    return arrays


def load(arrays: dict[str, np.ndarray], prefix: str) -> Moments:
    found = {f.name: arrays[f"{prefix}.{f.name}"] for f in fields(Moments)}
    for name in ("body", "sink"):
        found[name] = found[name].astype(np.float64)
    return Moments(**found)
