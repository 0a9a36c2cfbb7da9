"""Temperature as two poles over ambient, driven by power; and learning its figures while it runs.

    T = ambient + x1 + x2,   dx_i = (R_i * P - x_i) / tau_i

On recordings of Raspberry Pis one pole is off by 1 to 3 K, two by half to one (chip and board, or a
phone's chassis).  With the time constants given, T is linear in (ambient, R1, R2): a Kalman filter
of three numbers fits it, and some of them, with different second poles, run side by side.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .profile import Node

USUAL = Node(2.0, 10.0), Node(6.0, 300.0)  # where the profile has none
POLES_S = 60.0, 120.0, 250.0, 450.0, 700.0  # of the board, with and without fan or case
NOISE_K2 = 0.5  # of a reading: sensors step by 0.55 K, and lag
DRIFT_K2_S = 4e-5  # of ambient: a room, a sunlit window
TRUSTED_K = 2.0  # typical error of a prediction by one sample, above which the slope is followed
CLEARLY = 0.7  # of the squared error of the model in use, before another takes its place
SLOPE_S = 30.0
BLIND_S = 5.0  # without a reading


@dataclass
class TwoNode:
    """The model itself, exact for power that is constant during a step."""

    nodes: tuple[Node, Node]
    ambient: float
    x1: float = 0.0
    x2: float = 0.0

    @property
    def celsius(self) -> float:
        return self.ambient + self.x1 + self.x2

    def advance(self, watts: float, seconds: float) -> None:
        fast, slow = self.nodes
        self.x1 += (fast.r * watts - self.x1) * -math.expm1(-seconds / fast.tau)
        self.x2 += (slow.r * watts - self.x2) * -math.expm1(-seconds / slow.tau)

    def steady(self, watts: float) -> float:
        return self.ambient + (self.nodes[0].r + self.nodes[1].r) * watts


class Filter3:
    """Kalman filter of three constants (ambient, R1, R2) with T = (1, u1, u2) . constants."""

    def __init__(self, fast: Node, slow: Node, first_c: float):
        self.taus = fast.tau, slow.tau
        self.u = [0.0, 0.0]  # power behind each pole
        # What the device did before is unknown, so ambient is: it may have been at work.
        self.x = [first_c, fast.r, slow.r]
        self.p = [[100.0, 0, 0], [0, (fast.r / 2) ** 2, 0], [0, 0, (slow.r / 2) ** 2]]
        self.error_k2 = TRUSTED_K**2

    def advance(self, watts: float, seconds: float) -> None:
        for i, tau in enumerate(self.taus):
            self.u[i] += (watts - self.u[i]) * -math.expm1(-seconds / tau)
        self.p[0][0] += DRIFT_K2_S * seconds

    def model(self) -> float:
        return self.x[0] + self.x[1] * self.u[0] + self.x[2] * self.u[1]

    def correct(self, celsius: float, noise_k2: float = NOISE_K2) -> None:
        # Written out: this runs for six filters twice a second beside the decode that it watches.
        u, v = self.u
        (a, b, c), (_, d, e), (_, _, f) = self.p  # symmetric
        ph0, ph1, ph2 = a + b * u + c * v, b + d * u + e * v, c + e * u + f * v
        spread = ph0 + u * ph1 + v * ph2 + noise_k2
        off = celsius - self.model()
        self.error_k2 += 0.02 * (off * off - self.error_k2)
        k0, k1, k2 = ph0 / spread, ph1 / spread, ph2 / spread
        ambient, r1, r2 = self.x
        self.x = [ambient + k0 * off, max(0.05, r1 + k1 * off), max(0.05, r2 + k2 * off)]
        b, c, e = b - k0 * ph1, c - k0 * ph2, e - k1 * ph2
        self.p = [[a - k0 * ph0, b, c], [b, d - k1 * ph1, e], [c, e, f - k2 * ph2]]

    def ahead(self, watts: float, seconds: float) -> float:
        """The model's temperature after that long at that power."""
        rise = 0.0
        for r, u, tau in zip(self.x[1:], self.u, self.taus, strict=True):
            rise += r * (watts + (u - watts) * math.exp(-seconds / tau))
        return self.x[0] + rise


class Forecast:
    """Learns from power and temperature; says where the temperature goes."""

    def __init__(self, nodes: tuple[Node, Node] | None = None, poles: Sequence[float] = POLES_S):
        self._fast, self._slow = nodes or USUAL
        self._poles = sorted({*poles, self._slow.tau})
        self._filters: list[Filter3] = []
        self._recent: deque[tuple[float, float]] = deque()  # (t, celsius)
        self._t: float | None = None
        self._smooth: float | None = None
        self._repeats, self._chosen, self._blind_s = 0, 0, 0.0

    @property
    def trusted(self) -> bool:
        return bool(self._filters) and self._best().error_k2 < TRUSTED_K**2

    @property
    def fitted(self) -> TwoNode | None:
        """The model as it is known now."""
        if not self._filters:
            return None
        best = self._best()
        fast, slow = Node(best.x[1], best.taus[0]), Node(best.x[2], best.taus[1])
        u1, u2 = best.u
        return TwoNode((fast, slow), best.x[0], fast.r * u1, slow.r * u2)

    def update(self, t: float, watts: float, celsius: float | None) -> None:
        """Power since the last call, and what the sensor says now; None if it says nothing."""
        seconds = 0.0 if self._t is None else t - self._t
        self._t = t
        if not self._filters:
            if celsius is None:
                return
            self._filters = [
                Filter3(self._fast, Node(self._slow.r, tau), celsius) for tau in self._poles
            ]
        for one in self._filters:
            one.advance(watts, seconds)
        self._blind_s = self._blind_s + seconds if celsius is None else 0.0
        if celsius is None:
            return
        # The same reading again and again says less each time: it may be stuck.
        self._repeats = self._repeats + 1 if self._recent and celsius == self._recent[-1][1] else 0
        for one in self._filters:
            one.correct(celsius, NOISE_K2 * (1 + self._repeats / 2))
        before = celsius if self._smooth is None else self._smooth
        self._smooth = before + (celsius - before) * -math.expm1(-max(seconds, 0.1) / 2.0)
        self._recent.append((t, celsius))
        while self._recent[0][0] < t - SLOPE_S:
            self._recent.popleft()

    def ahead(self, watts: float, seconds: float) -> float | None:
        """Degrees after `seconds` at `watts`; None before the first reading."""
        if self._smooth is None:
            return None
        if not self.trusted:
            return self._smooth + max(0.0, self.slope()) * seconds
        if self._blind_s > BLIND_S:  # nothing corrects them: the most anxious one is heard
            return max(one.ahead(watts, seconds) for one in self._filters)
        best = self._best()
        return best.ahead(watts, seconds) + self._smooth - best.model()

    def slope(self) -> float:
        """Kelvin a second over the last half minute, by least squares."""
        n = len(self._recent)
        if n < 3:
            return 0.0
        mean_t = sum(t for t, _ in self._recent) / n
        mean_c = sum(c for _, c in self._recent) / n
        spread = sum((t - mean_t) ** 2 for t, _ in self._recent)
        return sum((t - mean_t) * (c - mean_c) for t, c in self._recent) / spread if spread else 0.0

    def _best(self) -> Filter3:
        """Stays with one until another is clearly better: at a steady temperature all are right."""
        errors = [one.error_k2 for one in self._filters]
        if min(errors) < CLEARLY * errors[self._chosen]:
            self._chosen = errors.index(min(errors))
        return self._filters[self._chosen]
