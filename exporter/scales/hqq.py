"""Half-quadratic quantization: offsets that leave outliers alone, without data."""

import numpy as np

from edge.format.formats import CODES, WeightFormat

from .search import Grid, Search
from .stored import stored

P = 0.7  # the norm ||.||_p^p, which counts outliers less than squares do
BETA = 10.0  # the paper lets it grow by 1 % a turn, its package (0.2.8) does not
TURNS = 20
LARGEST_INVERSE = 2e4


def hqq(groups: np.ndarray, form: WeightFormat) -> Grid:
    """argmin ||W - Q(W)||_p^p over offsets (Badri and Shaji 2023, github.com/mobiusml/hqq).

    Where a group is better off as minmax has it, it stays so.
    """
    search = Search(groups, form, _norm)
    inverse, zero = start(groups, CODES[form.kind].levels - 1)
    zero = half_quadratic(groups, inverse, zero, CODES[form.kind].levels - 1)
    scales = stored(1 / inverse[:, :, 0], form)
    search.offer(scales, stored(-zero[:, :, 0] / inverse[:, :, 0], form))
    return search.grid


def start(groups: np.ndarray, q_max: int) -> tuple[np.ndarray, np.ndarray]:
    """1 / s and the zero point z of minmax, [rows, groups, 1] each: w = (q - z) s."""
    low, high = groups.min(axis=2, keepdims=True), groups.max(axis=2, keepdims=True)
    span = high - low
    inverse = np.divide(q_max, span, out=np.ones_like(span), where=span > 1e-4)
    inverse = np.minimum(inverse, np.float32(LARGEST_INVERSE))
    return inverse, -low * inverse


def half_quadratic(
    groups: np.ndarray, inverse: np.ndarray, zero: np.ndarray, q_max: int
) -> np.ndarray:
    """z after turns of: W_e <- shrink(W - W_r, beta), z <- <W_q - (W - W_e) / s>.

    Ends when the mean error of all groups falls no more, as the reference does.
    """
    least = np.inf
    scaled = groups * inverse
    for _ in range(TURNS):
        codes = np.clip(np.rint(scaled + zero), 0, q_max)
        error = groups - (codes - zero) / inverse  # W - W_r
        outliers = _shrink(error, np.float32(1 / BETA))  # W_e
        zero = np.mean(codes - (groups - outliers) * inverse, axis=2, keepdims=True)
        mean = float(np.abs(error).mean(dtype=np.float64))
        if not mean < least:
            break
        least = mean
    return zero


def _shrink(x: np.ndarray, step: np.float32) -> np.ndarray:
    """sign(x) * relu(|x| - step * |x|**(p - 1)), the proximal operator of the norm."""
    size: np.ndarray = np.abs(x)
    with np.errstate(divide="ignore"):  # 0 ** (p - 1): infinitely small, so 0
        step_sizes = size ** np.float32(P - 1)
    size -= step * step_sizes
    np.maximum(size, 0, out=size)
    np.copysign(size, x, out=size)
    return size


def _norm(residuals: np.ndarray) -> np.ndarray:
    sums: np.ndarray = (np.abs(residuals) ** np.float32(P)).sum(axis=2)
    return sums
