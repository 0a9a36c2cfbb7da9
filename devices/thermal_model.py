"""Temperature as two poles over ambient, driven by power; and learning its figures while it runs.

    T = ambient + x1 + x2,   dx_i = (R_i * P - x_i) / tau_i

On recordings of Raspberry Pis one pole is off by 1 to 3 K, two by half to one (chip and board, or a
phone's chassis).  With the time constants given, T is linear in (ambient, R1, R2): a Kalman filter
of three numbers fits it, and some of them, with different second poles, run side by side.  While
there are readings the best of them speaks.  Without any, all do, each as loud as it is likely.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from .profile import Node

USUAL = Node(2.0, 10.0), Node(6.0, 300.0)  # where the profile has none
# Of the board, with and without fan or case.
POLES_S = 60.0, 85.0, 120.0, 170.0, 240.0, 340.0, 480.0, 700.0
APART = 1.2  # times the profile's own pole: those that are nearer are left out
USUAL_WITHIN = 0.5  # standard deviation of the logarithm of (true pole / the profile's)
NOISE_K2 = 0.5  # of a reading: sensors step by 0.55 K
LAG_S = 3.0  # of a reading, and of what is not known of the fast pole
DRIFT_K2_S = 4e-5  # of ambient: a room, a sunlit window
TRUSTED_K = 2.0  # typical error of a prediction by one sample, above which the slope is followed
FADING_S = 600.0  # of what readings told: a fan may have started
DOUBTED = 120  # readings that are the same, before they are believed
SURE = 2.0  # standard deviations, where nothing corrects the models
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
    """Kalman filter of three constants (ambient, R1, R2) with T = (1, u1, u2) . constants.

    `prior` and `evidence` are logarithms: how likely the poles are, and the readings with them.
    """

    def __init__(self, fast: Node, slow: Node, first_c: float, prior: float = 0.0):
        self.taus = fast.tau, slow.tau
        self.u = 0.0, 0.0  # power behind each pole
        self._seconds, self._slope = 0.0, 0.0  # of the last step; K/s
        # What the device did before is unknown, so ambient is: it may have been at work.
        self.x = [first_c, fast.r, slow.r]
        self.p = [[100.0, 0, 0], [0, (fast.r / 2) ** 2, 0], [0, 0, (slow.r / 2) ** 2]]
        self.error_k2 = TRUSTED_K**2
        self.prior, self.evidence = prior, 0.0

    @property
    def likely(self) -> float:
        return self.prior + self.evidence

    def advance(self, watts: float, seconds: float) -> None:
        before = self.model()
        self.u = self._power_after(watts, seconds)
        self._seconds = seconds
        self._slope = (self.model() - before) / seconds if seconds > 0 else 0.0
        (a, b, c), *rest = self.p
        self.p = [[a + DRIFT_K2_S * seconds, b, c], *rest]

    def _power_after(self, watts: float, seconds: float) -> tuple[float, float]:
        u, v = self.u
        fast, slow = self.taus
        return (
            watts + (u - watts) * math.exp(-seconds / fast),
            watts + (v - watts) * math.exp(-seconds / slow),
        )

    def model(self) -> float:
        return self.x[0] + self.x[1] * self.u[0] + self.x[2] * self.u[1]

    def correct(self, celsius: float, noise_k2: float = NOISE_K2) -> None:
        noise_k2 += (LAG_S * self._slope) ** 2
        # Written out: this runs for nine filters twice a second beside the decode that it watches.
        u, v = self.u
        (a, b, c), (_, d, e), (_, _, f) = self.p  # symmetric
        ph0, ph1, ph2 = a + b * u + c * v, b + d * u + e * v, c + e * u + f * v
        spread = ph0 + u * ph1 + v * ph2 + noise_k2
        off = celsius - self.model()
        self.error_k2 += 0.02 * (off * off - self.error_k2)
        told = -(off * off / spread + math.log(spread)) / 2
        self.evidence += self._seconds * (told - self.evidence / FADING_S)  # one reading a second
        k0, k1, k2 = ph0 / spread, ph1 / spread, ph2 / spread
        ambient, r1, r2 = self.x
        self.x = [ambient + k0 * off, max(0.05, r1 + k1 * off), max(0.05, r2 + k2 * off)]
        b, c, e = b - k0 * ph1, c - k0 * ph2, e - k1 * ph2
        self.p = [[a - k0 * ph0, b, c], [b, d - k1 * ph1, e], [c, e, f - k2 * ph2]]

    def raise_to(self, celsius: float) -> None:
        """By the ambient temperature; what has to be raised is less likely."""
        short = max(0.0, celsius - self.model())
        self.evidence -= short * short / NOISE_K2 / 2
        ambient, r1, r2 = self.x
        self.x = [ambient + short, r1, r2]

    def ahead(self, watts: float, seconds: float) -> float:
        """The model's temperature after that long at that power."""
        u, v = self._power_after(watts, seconds)
        return self.x[0] + self.x[1] * u + self.x[2] * v

    def variance(self, watts: float, seconds: float) -> float:
        """Of `ahead`, in K^2: by how little the readings told of the three figures."""
        u, v = self._power_after(watts, seconds)
        (a, b, c), (_, d, e), (_, _, f) = self.p
        return a + d * u * u + f * v * v + 2 * (b * u + c * v + e * u * v)


class Forecast:
    """Learns from power and temperature; says where the temperature goes."""

    def __init__(self, nodes: tuple[Node, Node] | None = None, poles: Sequence[float] = POLES_S):
        self._fast, self._slow = nodes or USUAL
        others = [tau for tau in poles if _apart(tau, self._slow.tau) > math.log(APART)]
        self._poles = sorted([*others, self._slow.tau])
        self._filters: list[Filter3] = []
        self._known: list[Filter3] = []  # as they were when the reading last changed
        self._since: list[tuple[float, float]] = []  # then: watts, seconds
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
            self._filters = [self._begun(tau, celsius) for tau in self._poles]
        for one in self._filters:
            one.advance(watts, seconds)
        self._since.append((watts, seconds))
        if celsius is None:
            self._forget_last()
            self._blind_s += seconds
            return
        self._blind_s = 0.0
        # The same reading again and again says less each time: it may be stuck.
        self._repeats = self._repeats + 1 if self._recent and celsius == self._recent[-1][1] else 0
        for one in self._filters:
            one.correct(celsius, NOISE_K2 * (1 + self._repeats / 2))
        if not self._repeats or len(self._since) > DOUBTED:
            self._known, self._since = [copy(one) for one in self._filters], []
        self._choose()
        before = celsius if self._smooth is None else self._smooth
        self._smooth = before + (celsius - before) * -math.expm1(-max(seconds, 0.1) / 2.0)
        self._recent.append((t, celsius))
        while self._recent[0][0] < t - SLOPE_S:
            self._recent.popleft()

    def at_least(self, celsius: float) -> None:
        """It is that hot, as its firmware shows by throttling: models that say less are raised."""
        for one in self._filters:
            one.raise_to(celsius)

    def _begun(self, tau: float, celsius: float) -> Filter3:
        unusual = _apart(tau, self._slow.tau) / USUAL_WITHIN
        return Filter3(self._fast, Node(self._slow.r, tau), celsius, prior=-(unusual**2) / 2)

    def _forget_last(self) -> None:
        """What was read since the reading last changed: it may have been stuck before that was known."""
        for one in self._known:
            for watts, seconds in self._since:
                one.advance(watts, seconds)
        self._filters, self._known, self._since = self._known or self._filters, [], []

    def ahead(self, watts: float, seconds: float) -> float | None:
        """Degrees after `seconds` at `watts`; None before the first reading."""
        if self._smooth is None:
            return None
        if not self.trusted:
            return self._smooth + max(0.0, self.slope()) * seconds
        if self._blind_s > BLIND_S:  # nothing corrects them
            return self._surely_below(watts, seconds)
        best = self._best()
        return best.ahead(watts, seconds) + self._smooth - best.model()

    def _surely_below(self, watts: float, seconds: float) -> float:
        """Of all models together, each as likely as the readings make it: mean and deviations."""
        most = max(one.likely for one in self._filters)
        weights = [math.exp(one.likely - most) for one in self._filters]
        ahead = [one.ahead(watts, seconds) for one in self._filters]
        mean = _mean(weights, ahead)
        spread = [
            one.variance(watts, seconds) + (celsius - mean) ** 2
            for one, celsius in zip(self._filters, ahead, strict=True)
        ]
        return mean + SURE * math.sqrt(_mean(weights, spread))

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
        return self._filters[self._chosen]

    def _choose(self) -> None:
        """Stays with one until another is clearly better: at a steady temperature all are right."""
        errors = [one.error_k2 for one in self._filters]
        if min(errors) < CLEARLY * errors[self._chosen]:
            self._chosen = errors.index(min(errors))


def _mean(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(w * x for w, x in zip(weights, values, strict=True)) / sum(weights)


def _apart(tau: float, other: float) -> float:
    return abs(math.log(tau / other))
