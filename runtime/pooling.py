"""From vectors of tokens to one vector a text, as sentence-transformers pools."""

from collections.abc import Callable

import numpy as np

TINY = np.float32(1e-12)  # what torch.nn.functional.normalize divides by at least


def pooled(hidden: np.ndarray, starts: np.ndarray, pooling: str, normalize: bool) -> np.ndarray:
    """float32 [texts, hidden] of float32 [tokens, hidden]; text i begins at token starts[i]."""
    vectors = _POOLINGS[pooling](hidden, starts)
    if normalize:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), TINY)
    return vectors


def _mean(hidden: np.ndarray, starts: np.ndarray) -> np.ndarray:
    lengths = np.diff(starts, append=len(hidden)).astype(np.float32)
    vectors: np.ndarray = np.add.reduceat(hidden, starts, axis=0)
    vectors /= lengths[:, None]
    return vectors


def _first(hidden: np.ndarray, starts: np.ndarray) -> np.ndarray:
    vectors: np.ndarray = hidden[starts]
    return vectors


def _largest(hidden: np.ndarray, starts: np.ndarray) -> np.ndarray:
    vectors: np.ndarray = np.maximum.reduceat(hidden, starts, axis=0)
    return vectors


_POOLINGS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "cls": _first,
    "max": _largest,
}
