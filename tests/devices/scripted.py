"""Sensors that say what a test wants, in a time that passes when a test says so."""

from edge.devices.monitor import Monitor
from edge.devices.reading import Absent
from edge.devices.sample import Sensors


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Scripted:
    """`says` maps a time since the start to readings, or to None for an absent sensor."""

    def __init__(self, clock, says, source="pmic", scope="board-rails", name=None):
        self.name, self.source, self.scope = name or f"power {source}", source, scope
        self._start, self._says = clock(), says

    def read(self, now):
        readings = self._says(now - self._start)
        if readings is None:
            raise Absent("away")
        return readings


def monitor(clock, *sensors, **settings):
    return Monitor(sensors=Sensors(sensors, unix=lambda: 1e9), clock=clock, **settings)


def watch(watched, clock, seconds, every=1.0, name="whole"):
    """The report on a stretch that is sampled `every` so many seconds."""
    watched.begin(name)
    for _ in range(round(seconds / every) - 1):
        clock.now += every
        watched.sample()
    clock.now += every
    return watched.end(name)
