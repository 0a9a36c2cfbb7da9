"""A monitor and a governor around one model: what an answer takes, and how fast it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge.devices.clock_cap import ClockCap
from edge.devices.device import Device, detect
from edge.devices.governor import Governor
from edge.devices.knees import Knee, Knees
from edge.devices.monitor import Monitor
from edge.devices.placement import PlacedPace, Placement
from edge.devices.policy import Targets, check_possible
from edge.devices.root import Root
from edge.devices.sample import Sample, Sensors
from edge.devices.status import Publisher
from edge.devices.window import Report
from edge.errors import DeviceError
from edge.runtime.generate import Answer
from edge.runtime.libraries.cache import folder as cache_folder

if TYPE_CHECKING:
    from edge.runtime.encoder import Encoder
    from edge.runtime.graph_model import GraphModel
    from edge.runtime.model import Model

Note = Callable[[str], None]
KNEES, COOLING = "knees.json", "cooling.json"  # of the cache folder


class Watch:
    """Sensors are looked for once, and sampled only while something runs.

    Raises DeviceError for a limit on what nothing here measures.
    """

    def __init__(
        self,
        model: Model | Encoder | GraphModel,
        targets: Targets | None = None,
        note: Note = lambda text: None,
        root: Root | None = None,
        placement: Placement | None = None,
    ):
        """`placement`: where the calling thread is to be while it computes."""
        targets, root = targets or Targets(), root or Root()
        device = detect(root)
        sensors = Sensors.of(device, root)
        self.device = device
        self._cap = ClockCap.find(root, device) if targets.given else None
        self.governor = _governor(model, device, targets, self._cap, note)
        self.monitor = Monitor(sensors=sensors, activity=lambda: self.governor.activity)
        self.monitor.observers.append(self.governor.observe)
        self._publisher = Publisher(model.file.path.stem)
        self.monitor.observers.append(self._tell)
        first = self.monitor.sample()
        check_possible(targets, first, device.profile)
        self.governor.observe(first)
        self._placement = placement
        model.pace = PlacedPace(self.governor, placement) if placement else self.governor
        self._running = False

    def admit(self) -> None:
        """Raises DeviceError where no new work should be begun."""
        self.governor.observe(self.monitor.sample())
        if self.governor.refusal is not None:
            raise DeviceError(f"no new work: {self.governor.refusal}")

    def start(self) -> None:
        if not self._running:
            self.monitor.start()
            self._running = True

    def stop(self) -> None:
        if self._placement is not None:  # an exception may have left a step
            self._placement.release()
        if self._running:
            self.monitor.stop()
            self._running = False
            self._publisher.ledger.pause()
            if self.monitor.latest is not None:
                idle = replace(self.governor.activity, phase="idle")
                self._publisher.tell(self.monitor.latest, idle)

    def close(self) -> None:
        """Give back what was set."""
        self.stop()
        self._publisher.close()
        if self._cap is not None:
            self._cap.close()

    def _tell(self, sample: Sample) -> None:
        self._publisher.observe(sample, self.governor.activity)


class WatchedAnswer(Answer):
    """An answer, and reports on its prompt, on the tokens after it, and on all of it."""

    def __init__(self, watch: Watch, *settings: Any, **options: Any):
        super().__init__(*settings, **options)
        self.watch = watch
        self.prefill: Report | None = None
        self.decode: Report | None = None
        self.whole: Report | None = None

    def _run(self) -> Iterator[str]:
        monitor = self.watch.monitor
        monitor.begin("answer")
        self.watch.start()
        try:
            yield from super()._run()
        finally:
            self.watch.stop()
            if self.prefill is not None:
                self.decode = monitor.end("decode")
            self.whole = monitor.end("answer")

    def _first(self) -> int:
        monitor = self.watch.monitor
        monitor.begin("prefill")
        token = super()._first()
        self.prefill = monitor.end("prefill")
        monitor.begin("decode")
        return token

    @property
    def joules_per_token(self) -> float | None:
        """Of the tokens that were computed one by one; what the reader takes between them is in it."""
        tokens = self.timings.decode_tokens
        return None if self.decode is None else self.decode.energy.per(tokens)

    @property
    def energy(self) -> dict[str, Any] | None:
        """The `energy` of `edge run --json`; None where nothing measures it, or it was too short."""
        energy = self.whole.energy if self.whole is not None else None
        if energy is None or energy.joules is None:
            return None
        return {
            "joules": energy.joules,
            "joules_per_token": self.joules_per_token,
            "source": energy.source,
            "scope": energy.scope,
        }

    @property
    def temperature_c(self) -> float | None:
        latest = self.watch.monitor.latest
        return None if latest is None else latest.number("temperature_c")


def _governor(
    model: Model | Encoder | GraphModel,
    device: Device,
    targets: Targets,
    cap: ClockCap | None,
    note: Note,
) -> Governor:
    """With what is remembered of this model on this device."""
    knees, name = Knees(cache_folder() / KNEES), model.file.path.stem
    source = model.file.document["source"] or {}
    key = str(source.get("sha256") or name)
    clocks = device.profile.clocks_mhz
    top = max(clocks, default=1)
    return Governor(
        device.profile,
        model.threads,
        targets,
        clocks=tuple(mhz / top for mhz in clocks) or (1.0,),
        cap=cap,
        speeds=knees.recall(key, device.profile.key, model.threads),
        remember=lambda speeds: knees.remember(key, Knee(name, device.profile.key, speeds)),
        note=note,
    )
