"""k-means in one dimension: sorted values and their running sums, many sets at once.

A centroid's values are those between two midpoints, so that an iteration is a binary search and a
difference of sums, whatever the number of values (Lloyd 1982, IEEE Trans. Inf. Theory 28).
"""

import numpy as np

TURNS = 300
BINS = 256  # of the histogram that k-means starts from


class Sets:
    """Values [sets, n] with weights, sorted; float64 running sums of weights and products."""

    def __init__(self, values: np.ndarray, weights: np.ndarray):
        order = np.argsort(values, axis=1)
        self.values = np.take_along_axis(values, order, axis=1)
        w = np.take_along_axis(weights, order, axis=1).astype(np.float64)
        self.masses = _running(w)
        w *= self.values
        self.sums = _running(w)
        self.squares = (w * self.values).sum(axis=1)

    def quantiles(self, k: int) -> np.ndarray:
        """[sets, k]: means of k parts of equal mass."""
        share = self.masses[:, -1:] * np.arange(1, k) / k
        return self.means(_count_below(self.masses[:, 1:], share))

    def spread(self, k: int) -> np.ndarray:
        """[sets, k]: as dense as the cube root of the mass (Panter and Dite 1951): near the best.

        From parts of equal mass, k-means stops at centroids that are too few in the tails.
        """
        low, high = self.values[:, :1].astype(np.float64), self.values[:, -1:]
        ends = _count_below(self.values, low + (high - low) * np.arange(1, BINS) / BINS)
        masses = np.diff(_at(self.masses, ends), axis=1)
        density = np.cumsum(np.cbrt(np.maximum(masses, 0)), axis=1)
        share = density[:, -1:] * (np.arange(k) + 0.5) / k
        centroids: np.ndarray = low + (high - low) * (_count_below(density, share) + 0.5) / BINS
        return centroids

    def nearest(self, centroids: np.ndarray) -> np.ndarray:
        """int64 [sets, k - 1]: where one centroid's values end and the next one's begin."""
        return _count_below(self.values, (centroids[:, 1:] + centroids[:, :-1]) / 2)

    def means(self, ends: np.ndarray, empty: np.ndarray | None = None) -> np.ndarray:
        """[sets, k]; a part without values keeps its centroid of `empty`."""
        mass, total = (np.diff(_at(a, ends), axis=1) for a in (self.masses, self.sums))
        kept = np.zeros_like(total) if empty is None else empty
        means: np.ndarray = np.divide(total, mass, out=kept.copy(), where=mass > 0)
        return np.maximum.accumulate(means, axis=1) if empty is None else means

    def squared_error(self, centroids: np.ndarray) -> np.ndarray:
        """float64 [sets]: sum of weight * (value - nearest centroid)**2."""
        ends = self.nearest(centroids)
        mass, total = (np.diff(_at(a, ends), axis=1) for a in (self.masses, self.sums))
        saved = (centroids * (2 * total - centroids * mass)).sum(axis=1)
        error: np.ndarray = self.squares - saved
        return error


def lloyd(sets: Sets, centroids: np.ndarray, turns: int = TURNS) -> tuple[np.ndarray, int]:
    """Centroids [sets, k] at rest, ascending, and the iterations that took."""
    ends = sets.nearest(centroids)
    for turn in range(1, turns + 1):
        centroids, before = sets.means(ends, centroids), ends
        ends = sets.nearest(centroids)
        if np.array_equal(before, ends):
            return centroids, turn
    return centroids, turns


def _running(values: np.ndarray) -> np.ndarray:
    """[sets, n + 1]: sums of the first 0, 1, .. n values."""
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _at(running: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Running sums at 0, the ends of all parts but the last, and n."""
    inner = np.take_along_axis(running, ends, axis=1)
    return np.concatenate([running[:, :1], inner, running[:, -1:]], axis=1)


def _count_below(ascending: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """int64, as `limits` [sets, m]: how many of a set's values [sets, n] are below a limit."""
    n = ascending.shape[1]
    count, step = np.zeros(limits.shape, np.int64), 1 << n.bit_length() - 1
    while step:
        more = count + step
        value = np.take_along_axis(ascending, np.minimum(more, n) - 1, axis=1)
        count = np.where((more <= n) & (value < limits), more, count)
        step >>= 1
    return count
