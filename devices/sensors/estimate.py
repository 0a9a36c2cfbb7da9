"""Watts from the profile where nothing measures them: an estimate, and called so everywhere.

It knows the cores that this process kept busy and the clock; other processes, the screen and what
hangs on USB it does not know.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from ..attribute import Attribute
from ..device import Device
from ..profile import PowerModel
from ..reading import Absent, Readings
from ..root import Root


def process_seconds() -> float:
    """Processor time of this process, all its threads."""
    times = os.times()
    return times.user + times.system


class Estimate:
    """Joules since the first reading."""

    source, scope = "estimate", "model"

    def __init__(
        self,
        model: PowerModel,
        cores: int,
        clock: Callable[[], float] = lambda: 1.0,
        busy: Callable[[], float] = process_seconds,
    ):
        """`clock`: share of the top clock; `busy`: processor seconds used so far."""
        self.name = "power (estimate)"
        self._model, self._cores, self._clock, self._busy = model, cores, clock, busy
        self._last: tuple[float, float] | None = None
        self._joules = 0.0

    def read(self, now: float) -> Readings:
        busy = self._busy()
        last, self._last = self._last, (now, busy)
        if last is not None and now > last[0]:
            seconds = now - last[0]
            cores = min(self._cores, max(0.0, (busy - last[1]) / seconds))
            self._joules += seconds * self._model.watts(cores, self._clock())
        return {"energy_j": self._joules}


def find(root: Root, device: Device) -> list[Estimate]:
    model = device.profile.power
    if model is None:
        raise Absent(f"no power model of a {device.profile.name}")
    return [Estimate(model, device.profile.cores or device.cores, _clock(root, device))]


def _clock(root: Root, device: Device) -> Callable[[], float]:
    """The fastest cluster's clock over its maximum; 1 where it cannot be read."""
    for cluster in device.clusters:
        if cluster.policies and cluster.max_hz:
            path = f"{cluster.policies[0]}/scaling_cur_freq"
            return partial(_share, Attribute(root, path), cluster.max_hz / 1000)
    return lambda: 1.0


def _share(current: Attribute, top_khz: float) -> float:
    try:
        return min(1.0, current.number() / top_khz)
    except Absent:
        return 1.0
