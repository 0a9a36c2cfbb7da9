"""Watts of every setting on this very device: a profile's idle and core watts, each times a factor.

Both factors are learned from measured watts by a Kalman filter of two numbers.  Without any they stay 1.
"""

from __future__ import annotations

from .setting import Step

NOISE = 0.06  # of a reading: a PMIC's single readings jump by 10 %
DRIFT = 0.001  # of a factor, from sample to sample
UNCERTAIN = 0.3  # of a factor at first
LEAST, MOST = 0.2, 5.0  # of a factor


class PowerFit:
    """Not to be told of watts while the system throttles: what it takes away comes back."""

    def __init__(self) -> None:
        self.idle, self.cores = 1.0, 1.0
        self._p = (UNCERTAIN**2, 0.0, UNCERTAIN**2)  # covariance: idle, both, cores

    def watts(self, step: Step) -> float:
        """What a setting takes as things are."""
        return self.idle * step.idle_w + self.cores * step.core_w

    def learn(self, idle_w: float, core_w: float, watts: float) -> None:
        """`watts` were measured where the profile says idle_w + core_w."""
        a, b, c = self._p
        a, c = a + DRIFT**2, c + DRIFT**2
        pa, pc = a * idle_w + b * core_w, b * idle_w + c * core_w
        spread = pa * idle_w + pc * core_w + (NOISE * watts) ** 2
        off = watts - self.idle * idle_w - self.cores * core_w
        ka, kc = pa / spread, pc / spread
        self.idle = min(MOST, max(LEAST, self.idle + ka * off))
        self.cores = min(MOST, max(LEAST, self.cores + kc * off))
        self._p = a - ka * pa, b - ka * pc, c - kc * pc
