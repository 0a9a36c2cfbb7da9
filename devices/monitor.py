"""Watching the sensors from a thread of its own while work is done."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from edge.errors import DeviceError

from .activity import IDLE, Activity
from .sample import Sample, Sensors
from .window import Report, Window

if TYPE_CHECKING:
    from typing_extensions import Self

INTERVAL_S = 0.5
KEPT = 7200  # samples: an hour at 2 Hz
WHOLE = "whole"

Observer = Callable[[Sample], None]


class Monitor:
    """Power, temperature and throttling of a stretch of work.

        with edge.Monitor() as monitor:
            model.generate("Once upon a time", max_tokens=256)
        print(monitor.report().energy, monitor.report().peak_c)

    `begin` and `end` frame stretches within: a prompt and its answer have joules of their own.
    Sampling never raises; what cannot be read is None in the report, with a reason.
    """

    def __init__(
        self,
        interval: float = INTERVAL_S,
        *,
        sensors: Sensors | None = None,
        clock: Callable[[], float] = time.monotonic,
        activity: Callable[[], Activity] = lambda: IDLE,
    ):
        """A sample every `interval` seconds.  Raises DeviceError for one that makes no sense."""
        if not 0.05 <= interval <= 60:
            raise DeviceError(f"an interval of {interval:g} s, expected 0.05 to 60")
        self.interval, self._clock = interval, clock
        self.sensors = sensors or Sensors.of()
        self.activity = activity
        self.history: deque[tuple[Sample, Activity]] = deque(maxlen=KEPT)
        self.observers: list[Observer] = []  # called with every sample of the thread
        self.idle_w: dict[str, float] = {}  # by source, from `know_idle`
        self._windows: dict[str, Window] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._report: Report | None = None

    @property
    def latest(self) -> Sample | None:
        return self.history[-1][0] if self.history else None

    def sample(self) -> Sample:
        """Read all sensors now."""
        with self._lock:
            sample = self.sensors.sample(self._clock())
            self.history.append((sample, self.activity()))
            for window in self._windows.values():
                window.add(sample)
        return sample

    def begin(self, name: str = WHOLE) -> None:
        """Start a stretch; one of this name that is running is forgotten."""
        with self._lock:
            self._windows.pop(name, None)
            sample = self.sample()
            self._windows[name] = window = Window()
            window.add(sample)

    def end(self, name: str = WHOLE) -> Report:
        """The report on a stretch.  Raises DeviceError if it was not begun."""
        with self._lock:
            if name not in self._windows:
                raise DeviceError(f"no stretch {name!r} was begun")
            self.sample()
            return self._windows.pop(name).report(self.idle_w)

    def report(self) -> Report:
        """On the `with` block so far, or on all of it when it is over."""
        with self._lock:
            if self._report is not None:
                return self._report
            if WHOLE not in self._windows:
                raise DeviceError("the monitor was not started; use it in a `with`")
            self.sample()
            return self._windows[WHOLE].report(self.idle_w)

    def know_idle(self, report: Report) -> None:
        """Take a stretch without work as what the idle device needs, for net figures."""
        if report.watts is not None:
            self.idle_w[report.energy.source] = report.watts

    def start(self) -> None:
        """Sample from a thread until `stop`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="edge-monitor")
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def __enter__(self) -> Self:
        self._report = None
        self.begin()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._report = self.end()

    def _run(self) -> None:
        while not self._stop.wait(self.interval):
            sample = self.sample()
            for observer in self.observers:
                observer(sample)
